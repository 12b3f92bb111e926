# What stands where a how-to begins: a server, two people in a group, and this machine
# as a node of it, set up. $SCIM is the provider's token.
install -m 755 bin/pwb-server bin/pwb-agent /usr/bin/
install -D -m 755 -t /usr/libexec/pwb bin/pwb-pam bin/nss-live
install -m 644 bin/libnss_pwb.so.2 /usr/lib/x86_64-linux-gnu/
mkdir -p /etc/pwb
printf 'insecure-http: true\npassword-hash-rounds: 5000\n' > /etc/pwb/server.yaml
pwb-server serve > /var/log/pwb-server.log 2>&1 &
SERVER=$!
until curl -sf http://127.0.0.1:8443/readyz > /dev/null; do sleep 0.1; done
SCIM=$(pwb-server token create my-idp --scope scim)
push() { curl -sf "http://127.0.0.1:8443/scim/v2/$1" -H "Authorization: Bearer $SCIM" -H "Content-Type: application/scim+json" -d "$2" | sed 's/.*"id":"\([^"]*\)".*/\1/'; }
ADA=$(push Users '{"userName": "ada@acme.example", "displayName": "Ada Lovelace", "password": "Difference-Engine-1"}')
GRACE=$(push Users '{"userName": "grace@acme.example", "displayName": "Grace Hopper"}')
push Groups '{"displayName": "compilers", "members": [{"value": "'$GRACE'"}, {"value": "'$ADA'"}]}' > /dev/null
(umask 077; pwb-server token create enrol-node1 --scope enroll > /root/enrolment-token)
pwb-agent enroll --server http://127.0.0.1:8443 --token-file /root/enrolment-token > /dev/null
pwb-agent sync
pwb-agent setup > /dev/null
pwb-agent sync
set -x
