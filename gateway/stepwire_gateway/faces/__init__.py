"""Faces: what other protocols' clients see of a session, made of the same log.

A face is a *mapping* (:class:`~stepwire_gateway.faces.mapping.Mapping`): a fold over events that
says for each of them what this client is told. It reads nothing, sends nothing and waits for
nothing. Where the events come from is the same for all faces:

- :mod:`~stepwire_gateway.faces.events`: an event as a mapping gets it, and the scope of a face: one
  run with all that it has started, or a whole session.
- :mod:`~stepwire_gateway.faces.retelling`: a snapshot told as events. So a client that attaches in
  mid-run, at any gateway, goes the same way as one that was there from the beginning.
- :mod:`~stepwire_gateway.faces.told_texts`: what of the texts a client has been told, and what is
  missing. Every document carries its whole text, so no character is told twice and none is lost.
- :mod:`~stepwire_gateway.faces.face_stream`: the stream of a mapping. It is an
  :class:`~stepwire_gateway.api.event_stream.EventStream` on a
  :class:`~stepwire_gateway.hub.reading.Reading`: cursors, limits, pings, slow clients, the end of a
  token and of a process are those of all streams.
- :mod:`~stepwire_gateway.faces.starting`: sessions and messages, through the functions of
  :mod:`stepwire_gateway.api`: their checks, limits, counters and errors are the same.
- :mod:`~stepwire_gateway.faces.routes`: ``STEPWIRE_FACES``, by which faces are served.

A protocol is a folder of its own: ``mapping.py``, ``routes.py`` with a ``router``, and its line in
:mod:`~stepwire_gateway.faces.routes`. Faces know nothing of each other.
"""
