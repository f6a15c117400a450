#!/bin/sh
# Makes the Python environment of an image, /opt/impasto. Used by the Dockerfiles, not by hand.
#
#   install.sh torch [torchvision]   torch of $VARIANT, then what pyproject.toml asks for, at requirements.lock's
#                                    versions: the trainer's, or the service's with all of its extras
#   install.sh slim STATEMENT        removes what nothing needs at run time, compiles what STATEMENT imports
#
# $TORCH_INDEX_URL is the index of both, torch and torchvision; $TORCH_VERSION is torch's version, and torchvision is then
# the one that was made for it.
set -eu

environment=/opt/impasto

install() {
    case "$VARIANT" in
        cpu) index=${TORCH_INDEX_URL:-https://download.pytorch.org/whl/cpu} ;;
        cuda) index=${TORCH_INDEX_URL:-https://pypi.org/simple} ;; # on x86, the index has CUDA builds
        *) echo "VARIANT=$VARIANT: expected cpu or cuda" >&2; exit 1 ;;
    esac
    python3 -m venv "$environment"
    # Without dependencies: the index of torch has other versions than the lock.
    for wanted in $(wanted_torch "$@"); do
        "$environment/bin/pip" install --quiet --no-deps --no-compile --index-url "$index" "$wanted"
    done
    # Pinned as installed, so that no later step replaces the variant.
    grep -v '^torch' requirements.lock >/tmp/constraints.txt
    "$environment/bin/pip" freeze | grep -E '^torch(vision)?==' >>/tmp/constraints.txt
    "$environment/bin/python" - "$@" >/tmp/requirements.txt <<'PYTHON'
import sys, tomllib
project = tomllib.load(open("pyproject.toml", "rb"))["project"]
print(*(line for line in project["dependencies"] if not line.startswith("impasto-client")), sep="\n")
for extra in ["train"] if "torchvision" in sys.argv else ["hf", "otel", "redis", "signed", "storage", "webhooks"]:
    print(*project["optional-dependencies"][extra], sep="\n")
PYTHON
    "$environment/bin/pip" install --quiet --no-compile --constraint /tmp/constraints.txt --requirement /tmp/requirements.txt
    check "$@"
}

# The packages to install, one a line. torchvision 0.N is made for torch 2.(N - 15), and works with no other.
wanted_torch() {
    locked=$(sed -n 's/^torch==//p' requirements.lock)
    version=${TORCH_VERSION:-$locked}
    for package in "$@"; do
        case "$package" in
            torch) echo "torch==$version" ;;
            torchvision)
                if [ "$version" = "$locked" ]; then
                    grep '^torchvision==' requirements.lock
                else
                    minor=${version#2.}
                    echo "torchvision==0.$((${minor%%.*} + 15)).*"
                fi ;;
        esac
    done
}

# Fails if torch is not the requested variant, or if torchvision was made for another torch.
check() {
    "$environment/bin/python" - "$VARIANT" "$@" <<'PYTHON'
import sys, torch
variant, *packages = sys.argv[1:]
found = "cpu" if torch.version.cuda is None else "cuda"
if found != variant:
    sys.exit(f"VARIANT={variant}: torch {torch.__version__} is a build for {found}; another TORCH_INDEX_URL?")
if "torchvision" in packages:
    try:
        import torchvision
    except RuntimeError as error:
        sys.exit(f"torchvision does not fit torch {torch.__version__} ({error}): both must come from TORCH_INDEX_URL")
print("torch", torch.__version__, *[f"torchvision {torchvision.__version__}" for _ in packages[1:]])
PYTHON
}

slim() {
    packages=$(echo "$environment"/lib/python3*/site-packages)
    # Headers, CMake files and test programs of torch, which only builds of extensions need.
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
    wanted) wanted_torch "$@" ;; # for the tests
    *) install "$command" "$@" ;;
esac
