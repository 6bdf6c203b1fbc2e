# Clients of Redis that publish and subscribe, for `.ci/clients`.

# A subscriber that is a program, with its output in a file.
subscribe() {
    local heard=$scratch/heard subscriber number count=$((200 * scale))
    redis-cli -p "$port" subscribe news >"$heard" &
    subscriber=$!
    for _ in {1..100}; do
        grep -q '^subscribe' "$heard" && break
        sleep 0.1
    done
    for ((number = 0; number < count; number++)); do echo "PUBLISH news message-$number"; done | redis-cli -p "$port" >/dev/null
    for _ in {1..100}; do
        (($(grep -c '^message-' "$heard") >= count)) && break
        sleep 0.1
    done
    kill "$subscriber"
    grep '^message-' "$heard" | cmp - <(for ((number = 0; number < count; number++)); do echo "message-$number"; done)
    echo "a subscriber heard $count messages, in order"
}
export -f subscribe
export scratch scale

serve pubsub
export port
client "redis-cli subscribe" bash -euo pipefail -c subscribe
for protocol in 2 3; do
    client "redis-py, RESP$protocol" "$python" "$here/pubsub_order.py" "$port" $((2000 * scale)) $protocol
done
client "ioredis" node "$here/pubsub_order.js" "$port" $((5000 * scale))
drain
