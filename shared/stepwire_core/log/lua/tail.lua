-- The tail: small pieces of text that do not have an entry of the log yet (append/text.lua).

-- How many pieces its lines hold; a line that begins with '=' says where the pieces of a letter belong.
local function pieces_in(lines)
  return select(2, string.gsub('\n' .. lines, '\n[^=]', ''))
end
