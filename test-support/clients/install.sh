# Installs the clients, for `.ci/clients`. What is missing afterwards is in `absent`, with the reason.

declare -A absent=()
mkdir -p "$downloads"

# --- programs, by their Debian packages -------------------------------------------------------------

declare -A package=([redis-benchmark]=redis-tools [redis-cli]=redis-tools [tclsh8.6]=tcl8.6 [memccapable]=libmemcached-tools
    [swaks]=swaks [irssi]=irssi [tmux]=tmux [ss]=iproute2 [node]=nodejs [npm]=npm)
as_root=()
[[ $(id -u) == 0 ]] || as_root=(sudo -n)

missing_programs() {
    local program
    {
        for program in "${!package[@]}"; do
            command -v "$program" >/dev/null || printf '%s\n' "${package[$program]}"
        done
        # What swaks needs for STARTTLS, and only recommends.
        perl -MNet::SSLeay -e 1 2>/dev/null || echo libnet-ssleay-perl
    } | sort -u
}

install_programs() {
    local missing
    mapfile -t missing < <(missing_programs)
    ((${#missing[@]})) || return 0
    local get=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive
        apt-get install -y -qq --no-install-recommends "${missing[@]}")
    "${get[@]}" || { "${as_root[@]}" apt-get update -qq && "${get[@]}"; }
}

install_programs >"$scratch/apt.log" 2>&1 || true
for program in "${!package[@]}"; do
    command -v "$program" >/dev/null || absent[$program]="Debian's package ${package[$program]} is not installed"
done
[[ -z ${absent[tclsh8.6]:-} ]] || absent[redis-tests]=${absent[tclsh8.6]}
[[ -z ${absent[tmux]:-} ]] || absent[irssi]=${absent[tmux]}
command -v ss >/dev/null || { echo "clients: ${absent[ss]}" >&2; exit 1; }

# The package of a mail server, of which only a client is used: nothing is configured or started.
postfix() {
    mkdir -p "$scratch/postfix" && cd "$scratch/postfix" &&
        apt-get download postfix && dpkg -x postfix_*.deb "$downloads/postfix"
}
[[ -x $downloads/postfix/usr/sbin/smtp-source ]] || (postfix) >"$scratch/postfix.log" 2>&1 ||
    absent[smtp-source]="Debian's package postfix cannot be downloaded"

# Redis' sources have its tests. Debian's source packages are listed in a place of their own.
redis_sources() {
    local keyring=/usr/share/keyrings/debian-archive-keyring.gpg folder=$scratch/redis
    local options=(-o Dir::Etc::sourcelist="$folder/sources.list" -o Dir::Etc::sourceparts=- -o Dir::State::lists="$folder/lists")
    mkdir -p "$folder/lists/partial" "$downloads/redis.part" && cd "$folder" &&
        apt-cache policy redis-tools |
        sed -n "s|^ *[0-9]* \(http[^ ]*\) \([^/ ]*\)/main .*|deb-src [signed-by=$keyring] \1 \2 main|p" >sources.list &&
        apt-get "${options[@]}" update && apt-get "${options[@]}" source --download-only redis &&
        tar xzf redis_*.orig.tar.gz -C "$downloads/redis.part" --strip-components=1 &&
        # The only command without which no test begins, and that a server without scripts has no use for.
        sed -i '/^    r function flush$/d' "$downloads/redis.part/tests/support/server.tcl" &&
        mv "$downloads/redis.part" "$downloads/redis"
}
[[ -x $downloads/redis/runtest ]] || (redis_sources) >"$scratch/redis.log" 2>&1 ||
    absent[redis-tests]="Debian's source package redis cannot be downloaded"

# --- libraries ----------------------------------------------------------------------------------------

python=$downloads/python/bin/python
python_libraries() {
    rm -rf "$downloads/python"
    python3 -m venv "$downloads/python" &&
        "$python" -m pip install --quiet --disable-pip-version-check -r "$here/requirements.txt" &&
        cp "$here/requirements.txt" "$downloads/python/"
}
if ! cmp -s "$here/requirements.txt" "$downloads/python/requirements.txt" && ! python_libraries >"$scratch/pip.log" 2>&1; then
    for library in hiredis irc nats-py pylibmc pymemcache python-memcached redis-py; do
        absent[$library]="its package cannot be installed from PyPI"
    done
fi

export NODE_PATH=$downloads/node/node_modules
node_libraries() {
    rm -rf "$downloads/node"
    mkdir "$downloads/node" && cp "$here/package.json" "$downloads/node/" &&
        npm install --prefix "$downloads/node" --no-audit --no-fund --no-package-lock &&
        cp "$here/package.json" "$downloads/node/installed"
}
if ! cmp -s "$here/package.json" "$downloads/node/installed" && ! node_libraries >"$scratch/npm.log" 2>&1; then
    for library in ioredis irc-framework node-redis nodemailer; do
        absent[$library]="its package cannot be installed from npm"
    done
fi
