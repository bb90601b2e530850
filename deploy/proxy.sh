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

export RESOLVER STREAM_TIMEOUT_S SET_REAL_IP_FROM TRUSTED_ADDRESSES CORS_ORIGINS
envsubst '${RESOLVER} ${STREAM_TIMEOUT_S} ${SET_REAL_IP_FROM} ${TRUSTED_ADDRESSES} ${CORS_ORIGINS}
    ${STEPWIRE_MAX_BODY_BYTES} ${STEPWIRE_ELEMENTS_MAX_BYTES}' \
    </etc/stepwire/nginx.conf.template >/tmp/nginx.conf
# A stream is two open files, and the soft limit of a container may be 1,024.
ulimit -n "$(ulimit -Hn)"
exec nginx -e stderr -c /tmp/nginx.conf -g 'daemon off;'
