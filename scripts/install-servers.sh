#!/usr/bin/env bash
# Installs the Debian packages of the servers and of the browser that the tests start, if a program is missing. Needs root.
set -euo pipefail

missing=()
find_program() {
  local program=$1 package=$2
  PATH="$PATH:/usr/sbin" command -v "$program" >/dev/null && return
  [[ $program == postgres ]] && compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null && return
  missing+=("$package")
}

find_program postgres postgresql
find_program redis-server redis-server
find_program nats-server nats-server
find_program rabbitmq-server rabbitmq-server
find_program nginx nginx-light
find_program kcat kcat
find_program chromium chromium

if ((${#missing[@]} == 0)); then
  echo 'All servers are installed.'
  exit
fi
export DEBIAN_FRONTEND=noninteractive
# A run level of 1 keeps a package from starting its service: the tests start their own.
export RUNLEVEL=1
apt-get update -q
apt-get install -qy --no-install-recommends "${missing[@]}"
