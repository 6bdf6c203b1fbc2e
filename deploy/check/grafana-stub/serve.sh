#!/bin/sh
# Replaces Grafana where its image cannot be pulled. Checks the wiring only: provisioning files and
# dashboards are mounted at their paths, the data source's address answers, port and health check are
# right. Draws nothing.
set -eu
provisioning=/etc/grafana/provisioning
folder=$(sed -n 's/^ *path: //p' "$provisioning/dashboards/towline.yaml")
url=$(sed -n 's/^ *url: //p' "$provisioning/datasources/towline.yaml")
count=0
for file in "$folder"/*.json; do
    grep -q '"uid": "towline-' "$file"
    count=$((count + 1))
done
wget -q -O /dev/null "$url/-/ready"
mkdir -p /tmp/api
printf '{"stub":true,"dashboards":%d,"datasource":"%s"}\n' "$count" "$url" > /tmp/api/health
# Grafana's state directory must be writable although the root filesystem is read-only.
touch /var/lib/grafana/written
exec httpd -f -p 3000 -h /tmp
