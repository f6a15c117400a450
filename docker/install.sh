#!/bin/sh
# Makes the Python environment of an image, /opt/impasto. Used by the Dockerfiles, not by hand.
#
#   install.sh torch [torchvision]   torch of $VARIANT, then what pyproject.toml asks for, at requirements.lock's
#                                    versions: the trainer's, or the service's with all of its extras
#   install.sh slim STATEMENT        removes what nothing needs at run time, compiles what STATEMENT imports
set -eu

environment=/opt/impasto

install() {
    case "$VARIANT" in
        cpu) index=${TORCH_INDEX_URL:-https://download.pytorch.org/whl/cpu} ;;
        cuda) index=${TORCH_INDEX_URL:-https://pypi.org/simple} ;; # on x86, the index has CUDA builds
        *) echo "VARIANT=$VARIANT: expected cpu or cuda" >&2; exit 1 ;;
    esac
    python3 -m venv "$environment"
    for package in "$@"; do # without what they depend on: the index of torch has other versions than the lock
        if [ "$package" = torch ] && [ -n "$TORCH_VERSION" ]; then
            wanted="torch==$TORCH_VERSION"
        else
            wanted=$(grep "^$package==" requirements.lock)
        fi
        "$environment/bin/pip" install --quiet --no-deps --no-compile --index-url "$index" "$wanted"
    done
    grep -v '^torch' requirements.lock >/tmp/constraints.txt
    "$environment/bin/python" - "$@" >/tmp/requirements.txt <<'PYTHON'
import sys, tomllib
project = tomllib.load(open("pyproject.toml", "rb"))["project"]
print(*(line for line in project["dependencies"] if not line.startswith("impasto-client")), sep="\n")
for extra in ["train"] if "torchvision" in sys.argv else ["otel", "redis", "signed"]:
    print(*project["optional-dependencies"][extra], sep="\n")
PYTHON
    "$environment/bin/pip" install --quiet --no-compile --constraint /tmp/constraints.txt --requirement /tmp/requirements.txt
}

slim() {
    packages=$(echo "$environment"/lib/python3*/site-packages)
    # Headers, CMake files and test programs of torch: for those who build extensions.
    rm -rf "$packages"/torch/include "$packages"/torch/share "$packages"/torch/test "$packages"/torch/lib/*test*.so
    find "$packages"/torch/bin -type f -not -name torch_shm_manager -delete
    find "$packages" -type d -name tests -not -path '*/torch/*' -prune -exec rm -rf {} +
    "$environment/bin/python" -c "$1" # leaves bytecode beside what it imports
    "$environment/bin/pip" uninstall --quiet --yes setuptools pip
}

command=$1
shift
case "$command" in
    slim) slim "$1" ;;
    *) install "$command" "$@" ;;
esac
