# Clients of IRC, for `.ci/clients`.

serve irc
client "irssi" "$here/irssi" "$port"
client "irc (Python)" "$python" "$here/irc_channel.py" "$port" 20 $((20 * scale))
client "irc-framework" node "$here/irc_channel.js" "$port" 20 $((20 * scale))
drain
