# Clients of NATS, for `.ci/clients`.

serve nats
client "nats-py" "$python" "$here/nats_order.py" "$port" $((2000 * scale))
drain
