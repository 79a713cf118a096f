#!/usr/bin/env bash
# Makes dist/: static binaries for amd64 and arm64, a root file system for the
# container file, a deb and an rpm of each, an SBOM (CycloneDX) and the licences
# of everything that is linked in. Needs Go only. VERSION may be set.
set -euo pipefail
cd "$(dirname "$0")/.."

VERSION=${VERSION:-$(git describe --tags --always --match 'v*' 2>/dev/null | sed 's/^v//')}
case $VERSION in
[0-9]*.*) ;;
*) VERSION=0.0.0~git$(git rev-list --count HEAD).$VERSION ;; # no tag yet
esac
export VERSION
NFPM=github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.45.2
SBOM=github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.10.0

rm -rf dist
mkdir -p dist/words

go build -o dist/words/run ./cmd/spoold # the one that runs here says what all have in common
dist/words/run man | gzip -9n >dist/words/spoold.1.gz
for shell in bash zsh fish; do dist/words/run completion $shell >dist/words/$shell; done
rm dist/words/run

licenses() { # licenses BINARY: the licence text of each module that is linked in
	cat <(printf 'spoold\n\n') LICENSE
	go version -m "$1" | awk '$1 == "dep" {print $2}' | while read -r module; do
		dir=$(go list -m -f '{{.Dir}}' "$module")
		text=$(find "$dir" -maxdepth 1 -type f \( -iname 'licen[sc]e*' -o -iname 'copying*' -o -iname 'notice*' \) | sort)
		if [ -z "$text" ]; then
			echo "no licence text in $module" >&2
			return 1
		fi
		printf '\n---------- %s\n\n' "$module"
		cat $text
	done
}

for ARCH in amd64 arm64; do
	export ARCH
	out=dist/linux-$ARCH
	CGO_ENABLED=0 GOOS=linux GOARCH=$ARCH go build -trimpath -ldflags "-s -w -X github.com/spoold/spoold.release=$VERSION" -o "$out/spoold" ./cmd/spoold
	if [ $ARCH = amd64 ]; then
		licenses "$out/spoold" >dist/licenses.txt
		go run "$SBOM" bin -json -licenses -version "v$VERSION" -output dist/sbom.json "$out/spoold"
	fi
	root=$out/rootfs
	install -D -m 0755 "$out/spoold" "$root/usr/bin/spoold"
	install -D -m 0644 packaging/spoold.yaml "$root/etc/spoold/spoold.yaml"
	install -D -m 0644 /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
	printf 'spoold:x:10001:10001::/var/lib/spoold:/sbin/nologin\n' >"$root/etc/passwd"
	install -d -m 0700 "$root/var/lib/spoold"
	install -d -m 1777 "$root/tmp"
	for kind in deb rpm; do
		go run "$NFPM" package -f packaging/nfpm.yaml -p $kind -t dist/
	done
done
(cd dist && sha256sum -- *.deb *.rpm linux-*/spoold sbom.json licenses.txt >SHA256SUMS)
ls -l dist
