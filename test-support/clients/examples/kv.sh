# Clients of Redis, for `.ci/clients`.

benchmark() {
    local pipeline
    for pipeline in 1 16 64; do
        redis-benchmark -p "$port" -t ping,set,get,incr,mset -n $((10000 * scale)) -P "$pipeline" -c 50 -q
    done
    echo "ping, set, get, incr, mset in pipelines of 1, 16 and 64, $((10000 * scale)) each"
}

pipe() {
    local commands=$((100000 * scale)) said
    awk -v commands="$commands" 'BEGIN {
        for (at = 0; at < commands; at++) {
            key = "key " at; value = "a\r\n" at
            printf "*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n", length(key), key, length(value), value
        }
    }' >"$scratch/commands"
    said=$(redis-cli -p "$port" --pipe <"$scratch/commands" | tail -n 1)
    echo "$said"
    [[ $said == "errors: 0, replies: $commands" ]]
}

# Tests of Redis' own suite: those of what the example has. docs/CLIENTS.md says why not the others.
redis_tests() {
    local tests=(
        "Handle an empty query" "Generic wrong number of args" "test large number of args"
        "Protocol desync regression test #1" "Protocol desync regression test #2" "Protocol desync regression test #3"
        "SET and GET an item" "SET and GET an empty item" "SETNX target key missing" "SETNX target key exists"
        "GETDEL command" "GETSET (set new value)" "GETSET (replace old value)"
        "STRLEN against non-existing key" "STRLEN against integer-encoded value" "STRLEN against plain string"
        "Extended SET can detect syntax errors" "Extended SET NX option" "Extended SET XX option"
        "INCR against non existing key" "INCR against key created by incr itself"
        "INCR against key originally set with SET" "INCR over 32bit value"
        "INCRBY over 32bit value with over 32bit increment" "INCR fails against key with spaces (left)"
        "INCR fails against key with spaces (right)" "INCR fails against key with spaces (both)"
        "DECRBY negation overflow" "DECRBY over 32bit value with over 32bit increment, negative res"
    )
    local arguments=() name passed
    for name in "${tests[@]}"; do arguments+=(--only "$name"); done
    for name in unit/protocol unit/type/string unit/type/incr; do arguments+=(--single "$name"); done
    (cd "$downloads/redis" && ./runtest --host 127.0.0.1 --port "$port" --singledb "${arguments[@]}") >"$scratch/tests.log" || { cat "$scratch/tests.log"; return 1; }
    passed=$(grep -c '\[.*ok.*\]: ' "$scratch/tests.log")
    echo "$passed of its tests"
    ((passed == ${#tests[@]}))
}
export -f benchmark pipe redis_tests
export scratch scale downloads

serve kv
export port
client "redis-benchmark" bash -euc benchmark
client "redis-cli --pipe" bash -euo pipefail -c pipe
for protocol in 2 3; do
    client "redis-py, RESP$protocol" "$python" "$here/redis_model.py" "$port" $((20000 * scale)) python $protocol
    client "hiredis, RESP$protocol" "$python" "$here/redis_model.py" "$port" $((20000 * scale)) hiredis $protocol
done
client "ioredis" node "$here/redis_model.js" "$port" $((20000 * scale)) ioredis
client "node-redis" node "$here/redis_model.js" "$port" $((20000 * scale)) node-redis
client "redis-tests" bash -euc redis_tests
drain
