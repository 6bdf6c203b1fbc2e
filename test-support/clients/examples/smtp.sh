# Clients that send mail, for `.ci/clients`.

# The command gets the port, a number of mails, and the folder with what was kept.
mails() { # CLIENT MAILS COMMAND…
    mkdir "$scratch/mails"
    serve smtp "$scratch/mails" "${certificate[@]}"
    client "$1" "${@:3}" "$port" "$2" "$scratch/mails" "${certificate[@]:0:1}"
    drain
    rm -rf "$scratch/mails"
}

# A certificate and its key, with which the server offers STARTTLS.
certificate=()

# With 50 connections at once.
source_mails() { # PORT MAILS FOLDER
    LD_LIBRARY_PATH=$downloads/postfix/usr/lib/postfix \
        "$downloads/postfix/usr/sbin/smtp-source" -s 50 -m "$2" -l 4096 "127.0.0.1:$1"
    local kept=
    for _ in {1..300}; do
        kept=$(find "$3" -name '*.eml' | wc -l)
        ((kept == $2)) && break
        sleep 0.1
    done
    echo "$kept mails by 50 connections were kept"
    ((kept == $2))
}
export -f source_mails

export downloads
mails "smtplib" $((300 * scale)) "$python" "$here/smtp_mails.py"
mails "nodemailer" $((100 * scale)) node "$here/smtp_mails.js"
mails "swaks" 4 "$here/swaks"
mails "smtp-source" $((2000 * scale)) bash -euc 'source_mails "$@"' source_mails

# Its own authority.
certificate=("$scratch/smtp.crt" "$scratch/smtp.key")
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=127.0.0.1 \
    -addext subjectAltName=IP:127.0.0.1 -out "${certificate[0]}" -keyout "${certificate[1]}" 2>/dev/null
mails "swaks, STARTTLS" 1 "$here/swaks"
