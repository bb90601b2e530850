#!/bin/sh
# The official image's server is compiled with protected-mode off. With Debian's default nobody outside the
# container would get an answer.
set -e
umask 0077
[ "$1" != redis-server ] || set -- "$@" --protected-mode no
exec "$@"
