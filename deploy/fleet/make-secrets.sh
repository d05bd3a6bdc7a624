#!/bin/sh
# Makes the files of secrets/ and identity/ that compose.yaml names, those that are missing: sudo ./make-secrets.sh
set -eu
cd "$(dirname "$0")"
umask 077
mkdir -p secrets identity
for name in reader_key admin_key metrics_key dashboard_secret database_password grafana_password pages_password; do
  [ -s "secrets/$name" ] || openssl rand -hex 24 > "secrets/$name"
  # Each image has another user; the folder keeps this machine's other users out.
  chmod 444 "secrets/$name"
done
[ -s identity/keys.secret ] || openssl rand 32 > identity/keys.secret
chmod 600 identity/keys.secret
# The user of the image, who must be its only reader.
chown 10001:10001 identity/keys.secret
