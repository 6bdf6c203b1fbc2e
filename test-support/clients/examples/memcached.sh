# Clients of memcached, for `.ci/clients`.

capable() {
    local said
    said=$(memccapable -h 127.0.0.1 -p "$port" -a 2>&1) || true
    echo "$said"
    echo "all its tests of the text protocol"
    [[ $said != *FAIL* && $said == *"All tests passed"* ]]
}
export -f capable

serve memcached
export port
client "memccapable" bash -euc capable
for library in pymemcache python-memcached pylibmc; do
    client "$library" "$python" "$here/memcached_model.py" "$port" $((5000 * scale)) "$library"
done
drain
