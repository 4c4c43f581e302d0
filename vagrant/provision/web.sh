#!/bin/sh
# web.sh NAME: a web server on port 80 that says NAME, in place of what your real servers do.
# Once more does no harm.
set -eu
[ $# = 1 ] || { echo "usage: web.sh NAME" >&2; exit 2; }
. "$(dirname "$0")/network.sh"

need python3
echo "$1" | put /srv/guideway-web/index.html 644
put /etc/systemd/system/guideway-web.service 644 <<-UNIT
	[Unit]
	Description=a web server for guideway to balance

	[Service]
	ExecStart=/usr/bin/python3 -m http.server --directory /srv/guideway-web 80
	Restart=always
	DynamicUser=yes
	AmbientCapabilities=CAP_NET_BIND_SERVICE

	[Install]
	WantedBy=multi-user.target
UNIT
systemctl daemon-reload
systemctl --quiet enable --now guideway-web
