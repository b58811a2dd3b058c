# fsession: `make demo` and `make test` need a Debian machine with a Swift toolchain, nothing else.
SWIFT ?= swift
BUILD = .build/release
FSESSION = $(BUILD)/fsession

# What the build needs, and the programs that the demo and the tests trace.
BUILD_PACKAGES = libcapstone-dev libdw-dev liblzma-dev libbpf-dev linux-libc-dev pkg-config make
TRACED_PACKAGES = openssl sqlite3 python3 git gcc g++ libc6-dev libc6-dbg zlib1g-dev strace ltrace binutils postgresql gdb util-linux musl-tools \
    libc++-dev libc++abi-dev libunwind8 libasound2 rustc gnat gdc
# What only `make torture` runs.
TORTURE_PACKAGES = default-jdk-headless python3-numpy python3-scipy redis-server redis-tools nginx-light wrk curl iproute2 ocaml-nox
# What boots real kernels.
VM_PACKAGES = qemu-system-x86 busybox-static cpio bpftool xz-utils
# What builds for arm64 and runs what came of it.
ARM64_PACKAGES = qemu-user-static patchelf xz-utils

# Tests that stop and trace processes have the machine for themselves, one after the other; the others keep its
# cores busy. Neither takes more than a few minutes.
ON_PROCESSES = ProcessEngineTests|FSessionTests|CommandLineTests|LinuxProcessTests
IN_MACHINES = KernelVMTests

.PHONY: api demo test test-vm torture census bench fuzz build arm64 arm64-products check-format format linux-bpf vm \
    packages traced-packages vm-packages arm64-packages clean

build: packages
	$(SWIFT) build -c release

demo: build
	scripts/demo $(FSESSION)

test: packages traced-packages
	@scripts/install-packages $(ARM64_PACKAGES) || echo "*** The emulator for arm64 cannot be installed; see above."
	$(SWIFT) build -c release --build-tests
	scripts/run-tests 900 $(SWIFT) test -c release --skip-build --skip '$(ON_PROCESSES)|$(IN_MACHINES)'
	scripts/run-tests 1500 $(SWIFT) test -c release --skip-build --no-parallel --filter '$(ON_PROCESSES)'
	@scripts/install-packages $(VM_PACKAGES) || echo "*** QEMU and what belongs to it cannot be installed; see above."
	scripts/run-tests -1 1800 $(SWIFT) test -c release --skip-build --filter '$(IN_MACHINES)'
	@$(MAKE) --no-print-directory check-format
	@$(MAKE) --no-print-directory arm64-products

# The kernel engine alone, in virtual machines with Linux 6.1, 6.12 and 7.2, of which VM_KERNELS="7.2" chooses. Where QEMU or a
# kernel cannot be had the tests say so aloud and are skipped.
test-vm: packages traced-packages vm-packages
	$(SWIFT) build -c release --build-tests
	scripts/run-tests -1 1800 $(SWIFT) test -c release --skip-build --filter '$(IN_MACHINES)'

# Faults a thousand times, then real programs with a session at every function; ROUNDS of each.
torture: packages traced-packages
	@scripts/install-packages $(TORTURE_PACKAGES)
	$(SWIFT) build -c release --build-tests
	FSESSION_TORTURE=1000 $(SWIFT) test -c release --skip-build --filter 'TortureTests|KilledControllerTests'
	scripts/torture $(FSESSION)

# What tracing would overwrite, of every function of every program and library of the machine, against a second reader.
FOLDERS ?= /usr/bin /usr/sbin /usr/lib
census: packages
	$(SWIFT) build -c release --product census
	$(BUILD)/census $(FOLDERS)

bench: packages
	$(SWIFT) build -c release --product fsession
	$(SWIFT) build -c release --product event-rate
	$(SWIFT) build -c release --product verifier-bench
	scripts/bench $(FSESSION)
	scripts/bench-verifier $(BUILD)/verifier-bench

# Writes the public API into docs/api.txt, which a test compares.
api:
	FSESSION_WRITE_API=1 $(SWIFT) test -c release --filter PublicAPITests

# Random programs: what the verifier accepts must do no harm.
SECONDS ?= 3600
fuzz: packages
	FSESSION_FUZZ_SECONDS=$(SECONDS) $(SWIFT) test -c release --filter FuzzTests

# Everything for arm64, on an x86-64 machine, into .build-arm64. Where Debian has no compiler for it that is said, and is no error.
arm64: packages arm64-packages arm64-products

arm64-products:
	@scripts/run-tests -1 1200 scripts/build-arm64 -c release || \
	    { status=$$?; [ $$status = 3 ] && echo "*** SKIPPED: nothing was built for arm64; see above."; exit $$((status == 3 ? 0 : status)); }

# The style of the Swift sources.
check-format:
	@scripts/check-format || { status=$$?; [ $$status = 3 ] && echo "*** SKIPPED: the format is not checked; see above."; exit $$((status == 3 ? 0 : status)); }

format:
	@scripts/check-format --fix

# The structures of bpf(2) anew, from the types of the newest kernel that is tested.
linux-bpf: vm-packages
	$(SWIFT) build -c release --product generate-linux-bpf
	@$(MAKE) -s vm KERNEL=7.2 FILES=$(BUILD)/generate-linux-bpf RUN='./generate-linux-bpf /sys/kernel/btf/vmlinux 7.2' >$(BUILD)/structures.swift
	mv $(BUILD)/structures.swift Sources/LinuxBPF/Structures+Generated.swift

# A real kernel with fsession on the PATH: a shell, or RUN='command' in a folder with FILES="a.bpf.o b".
KERNEL ?= 7.2
vm: vm-packages
	@test -x $(FSESSION) || $(MAKE) build >&2
	@scripts/vm $(KERNEL) $(if $(RUN),-r '$(subst ','\'',$(RUN))') $(FILES)

# Installs what is missing; does nothing, and needs no root, when all is there.
packages:
	@scripts/install-packages $(BUILD_PACKAGES)

traced-packages:
	@scripts/install-packages $(TRACED_PACKAGES)

vm-packages:
	@scripts/install-packages $(VM_PACKAGES)

arm64-packages:
	@scripts/install-packages $(ARM64_PACKAGES)

clean:
	rm -rf .build .build-arm64
