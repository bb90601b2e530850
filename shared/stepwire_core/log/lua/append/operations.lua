-- The operations of events, by their names: `fold` changes the state (the files after this one set it), and `adds` says
-- what the operation counts for in the limits of the session.
--
-- The arguments of an event are op, type, id, parent, payload (scripts.py):
--
--   start_step    put the step `id`                        payload: the whole step, JSON
--   new_step      the same, if no step has that id         payload: the whole step, JSON
--   update_step   put it, unless it has been removed       payload: the whole step, JSON
--   end_step      the same                                 payload: the whole step, JSON
--   remove_step   remove the step `id`, all below it, and  payload: JSON
--                 their elements, asks and feedback
--   append_text   append to a field of the step `id`       parent: 'output' | 'input'; payload: text, JSON-escaped
--   replace_text  put a text in place of that field        parent: 'output' | 'input'; payload: text, JSON-escaped
--   put_run       put the run `id`                         parent: its status; payload: the whole run, JSON
--   end_run       the same, and it has ended for good      parent: its status; payload: the whole run, JSON
--   put           put what belongs to the step `parent`:   payload: the whole of it, JSON
--                 `id` is its field of the state
--   remove        remove it, and the bytes of an element   payload: JSON
--   open_ask      put the open ask `id` of a step          payload: the whole ask, JSON
--   end_ask       put it with its end, if it is open       payload: the whole ask, JSON
--   keep_result   keep the result of the run `id`          payload: JSON; makes no event; `parent` is the channel to tell
--   keep_value    keep the value `id` of the user session  payload: JSON, or '' to forget it; makes no event
--   describe      say what lists of sessions show: `id`    payload: text; makes no event; `parent` is 'once' if what was
--                 is 'title' or 'subject'                  said before stays
--   keep_step     keep the result `id` of a durable step   payload: JSON; makes no event; it goes with the end of the run

local A_STEP, ITS_BYTES, A_CHANGE = 'a step', 'its bytes', 'a change'

local OPERATIONS = {
  start_step = {adds = A_STEP},
  new_step = {adds = A_STEP, must_be_new = true},
  update_step = {adds = A_CHANGE},
  end_step = {},
  remove_step = {},
  append_text = {adds = ITS_BYTES},
  replace_text = {adds = ITS_BYTES},
  put_run = {},
  end_run = {},
  put = {adds = ITS_BYTES},
  remove = {},
  open_ask = {adds = ITS_BYTES},
  end_ask = {},
  keep_result = {},
  keep_value = {adds = ITS_BYTES},
  describe = {},
  keep_step = {adds = ITS_BYTES},
}

local MARK, MARKED = '.', '0 - {}' -- a field of the state
local LETTERS = 64 -- of the tail: as many texts have pieces in it at most
local KIDS_BYTES = 4000 -- of the index: a field of it that has more is full
local AT_ONCE, EVENT = 500, 4 -- the most fields of the state that one call removes, about; as how many an event counts
