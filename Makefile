# Every target does its own set-up. As root on Debian, the packages that the
# tests use are installed; otherwise what is left out is said.

STATICCHECK = go run honnef.co/go/tools/cmd/staticcheck@v0.8.2
PACKAGES    = libnss-extrausers libnss-cache nscd strace curl valgrind openssh-server openssh-client sudo cron python3 pamtester perl chromium \
              debootstrap rpm systemd man-db checkpolicy selinux-policy-dev
NFPM        = go run github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.44.0
VERSION    ?= dev
ARCH       ?= $(shell go env GOARCH)
OUT        ?= bin

# How gcc links the NSS module: its name, what it exports, and without the start of
# the Go runtime (cmd/libnss_pwb/DESIGN.md). All calls are bound when it is loaded.
NSS       = $(CURDIR)/cmd/libnss_pwb
NSS_LINK  = -Wl,-soname,libnss_pwb.so.2,-z,now,-z,relro,--version-script=$(NSS)/exports.map,-T,$(NSS)/asleep.ld
# On arm64 gcc's outlined atomics would add a constructor of libgcc to the module, and
# the link would be refused.
ifeq ($(shell go env GOARCH),arm64)
export CGO_CFLAGS = -O2 -g -mno-outline-atomics
endif

.PHONY: build module demo packages run test lint setup bench bench-million fuzz clean

# netgo: the agent looks the server up in /etc/hosts and DNS by itself, not through
# the name services that it feeds; without libc it also starts faster, in less memory.
# pwb-pam starts at each login, as root, and has nothing of libc's at all.
build: module
	go build -trimpath -tags netgo -ldflags "-X main.version=$(VERSION)" -o $(OUT)/ ./cmd/pwb-server ./cmd/pwb-agent ./cmd/pwb-demo
	CGO_ENABLED=0 go build -trimpath -tags netgo -ldflags "-s -w -X main.version=$(VERSION)" -o $(OUT)/ ./cmd/pwb-pam

# The NSS module, and the program that asks the server for it.
module:
	go build -trimpath -ldflags "-s -w $(NSS_FLAGS) -extldflags '$(NSS_LINK)'" -buildmode=c-shared -o $(OUT)/libnss_pwb.so.2 ./cmd/libnss_pwb
	go build -trimpath -tags netgo -o $(OUT)/nss-live ./cmd/libnss_pwb/live

# The whole way on one machine: providers' requests, server, agent, files, NSS.
demo: setup build
	bin/pwb-demo show

# deb and rpm packages of VERSION (which begins with a number) for ARCH, amd64 or arm64.
packages:
	go run ./cmd/packages/pack -version $(VERSION:dev=0.0.0-dev) -arch $(ARCH) -nfpm "$(NFPM)" -out $(OUT)/packages

# Server and agent on loopback with a store under ./run, until Ctrl-C.
run: build
	bin/pwb-demo stay run

# The race detector would have each program sleep for a second when it ends.
test: setup lint
	GORACE=atexit_sleep_ms=0 go test -race -timeout 15m ./...

lint:
	@unformatted=$$(gofmt -l cmd roster scimserver syncer altfiles pam); \
	if [ -n "$$unformatted" ]; then echo "gofmt -w is wanted on: $$unformatted"; exit 1; fi
	go vet ./...
	$(STATICCHECK) ./...

setup:
	@if [ "$$(id -u)" != 0 ]; then \
		echo "not root: what needs mount namespaces is left out, and packages ($(PACKAGES)) are not installed"; \
	elif ! command -v apt-get >/dev/null; then \
		echo "no apt-get here: what needs these Debian packages is left out where they are missing: $(PACKAGES)"; \
	elif ! dpkg -s $(PACKAGES) >/dev/null 2>&1; then \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(PACKAGES); \
	fi

# Figures of the real binaries on this machine. They are noisy: compare medians
# and ratios of one run. Where nsscache is installed, or NSSCACHE is a command that
# runs it, it is measured beside.
bench:
	go test ./cmd/e2e -run '^$$' -bench . -skip Million -benchtime 3s -timeout 30m
	go test ./scimserver/... ./syncer ./altfiles ./cmd/libnss_pwb -run '^$$' -bench . -timeout 30m

# The same of a sync at a million users, which takes four minutes.
bench-million:
	go test ./cmd/e2e -run '^$$' -bench Million -benchtime 1x -timeout 30m

# Fuzzes each target for FUZZTIME, one after the other, and the NSS module's C with
# PWB_FUZZ damaged files and answers.
FUZZTIME ?= 1m
PWB_FUZZ ?= 3000000
fuzz:
	@for pkg in $$(go list ./...); do \
		for target in $$(go test $$pkg -list '^Fuzz' | grep ^Fuzz); do \
			echo "== $$pkg $$target"; \
			go test $$pkg -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) || exit 1; \
		done; \
	done
	PWB_FUZZ=$(PWB_FUZZ) PWB_FUZZ_SEED=$$$$ go test ./cmd/libnss_pwb -run BreaksAReader -v -timeout 1h

clean:
	rm -rf bin run
