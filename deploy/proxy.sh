#!/bin/sh
# Makes nginx's configuration of deploy/nginx.conf.template and the environment, and becomes nginx.
set -eu

case $PUBLISH in
127.*:* | '[::1]:'*) ;;
*)
    if [ -z "$GUARDED_BY" ]; then
        echo "PUBLISH=$PUBLISH opens a gateway without authentication to the network. Set STEPWIRE_AUTH_SECRETS," \
            "STEPWIRE_AUTH_JWKS_URL or STEPWIRE_API_KEYS, or publish it to this machine only (PUBLISH=127.0.0.1:8000)," \
            "or say that it is open on purpose (STEPWIRE_AUTH_OPEN=true)." >&2
        exit 1
    fi
    ;;
esac

# Docker's DNS is at 127.0.0.11, Podman's at the first address of the network. The first one alone: nginx takes
# turns, and a server of the host knows of no container.
RESOLVER=$(awk '$1 == "nameserver" { print $2 ~ /:/ ? "[" $2 "]" : $2; exit }' /etc/resolv.conf)

# A few pings, whatever they are set to.
STREAM_TIMEOUT_S=$(awk -v ping_s="$STEPWIRE_PING_S" 'BEGIN { print int(3 * ping_s) + 2 }')

# each TEXT LIST: the text for each part of a list with commas, which stands where the text has %s.
each() {
    echo "$2" | tr ',' '\n' | tr -d ' ' | while read -r part; do
        # shellcheck disable=SC2059 - the text is ours
        [ -z "$part" ] || printf "$1" "$part"
    done
}
SET_REAL_IP_FROM=$(each 'set_real_ip_from %s; ' "$TRUSTED_PROXIES")
TRUSTED_ADDRESSES=$(each '%s 1; ' "$TRUSTED_PROXIES")
CORS_ORIGINS=$(each '"%s" $http_origin; ' "$STEPWIRE_CORS_ORIGINS")

# With a certificate, browsers speak HTTP/2, and all tabs share one connection.
LISTEN=8000
TLS=
if [ -n "$TLS_DIR" ]; then
    for file in fullchain.pem privkey.pem; do
        if [ ! -r "/etc/tls/$file" ]; then
            echo "TLS_DIR=$TLS_DIR: the proxy cannot read $file in it, as user $(id -un). TLS_DIR needs" \
                "fullchain.pem and privkey.pem as files (not links that lead out of the folder)." >&2
            exit 1
        fi
    done
    TLS='ssl_certificate /etc/tls/fullchain.pem; ssl_certificate_key /etc/tls/privkey.pem;
        ssl_protocols TLSv1.2 TLSv1.3; ssl_session_cache shared:tls:10m; ssl_session_timeout 1d;'
    # Since 1.25.1 it is a directive; the parameter of before is deprecated.
    version=$(nginx -v 2>&1 | sed 's|.*nginx/\([0-9.]*\).*|\1|')
    if echo "$version" | awk -F . '{ exit !($1 * 10000 + $2 * 100 + $3 >= 12501) }'; then
        LISTEN='8000 ssl'
        TLS="$TLS http2 on;"
    else
        LISTEN='8000 ssl http2'
    fi
fi

export LISTEN TLS RESOLVER STREAM_TIMEOUT_S SET_REAL_IP_FROM TRUSTED_ADDRESSES CORS_ORIGINS
envsubst '${LISTEN} ${TLS} ${RESOLVER} ${STREAM_TIMEOUT_S} ${SET_REAL_IP_FROM} ${TRUSTED_ADDRESSES} ${CORS_ORIGINS}
    ${STEPWIRE_MAX_BODY_BYTES} ${STEPWIRE_ELEMENTS_MAX_BYTES}' \
    </etc/stepwire/nginx.conf.template >/tmp/nginx.conf
# A stream is two open files, and the soft limit of a container may be 1,024.
ulimit -n "$(ulimit -Hn)"
exec nginx -e stderr -c /tmp/nginx.conf -g 'daemon off;'
