// swift-tools-version: 6.2
import PackageDescription

let package = Package(
    name: "fsession",
    products: [
        .executable(name: "fsession", targets: ["fsession"]),
        .executable(name: "bpf-conformance-plugin", targets: ["bpf-conformance-plugin"]),
        .library(name: "FSession", targets: ["FSession"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.5.0")
    ],
    targets: [
        // The command line: a file per subcommand, the public API underneath, and JSON.
        .executableTarget(
            name: "fsession",
            dependencies: [
                "FSession", "PlainText", "CLinux",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            path: "Sources/CommandLine"),
        .executableTarget(
            name: "bpf-conformance-plugin",
            dependencies: ["BPF", "ELF", "JIT", "MachineCode", "CLinux"],
            path: "Sources/ConformancePlugin"),

        // The public API.
        .target(
            name: "FSession",
            dependencies: ["Sessions", "ProcessEngine", "KernelEngine", "Engine", "LinuxProcess", "Verifier", "BPF", "BTF", "PlainText"]),

        // What a session is, whichever engines and however many processes.
        .target(name: "Sessions", dependencies: ["Engine", "BPF"]),
        // Installs programs into a process.
        .target(
            name: "ProcessEngine",
            dependencies: [
                "Search", "Engine", "LinuxProcess", "Trampoline", "JIT", "Verifier", "MachineCode", "BPF", "BTF", "ELF", "PlainText", "TargetRuntime",
                "CLinux",
            ]),
        // Installs programs into the kernel.
        .target(name: "KernelEngine", dependencies: ["LinuxBPF", "Engine", "LinuxProcess", "BPF", "BTF", "ELF", "CLinux"]),
        // bpf(2) and perf_event_open(2): their structures, and which Linux has what.
        .target(name: "LinuxBPF", dependencies: ["CLinux"]),
        // What those structures are made with.
        .executableTarget(
            name: "generate-linux-bpf", dependencies: ["BTF", "LinuxProcess"], path: "Tools/GenerateLinuxBPF"),
        // What both engines have in common.
        .target(name: "Engine", dependencies: ["LinuxProcess", "BPF", "CLinux"]),
        // A Linux process from outside.
        .target(name: "LinuxProcess", dependencies: ["MachineCode", "Search", "ELF", "PlainText", "CLinux", "CLibDW", "CLZMA"]),

        // Examples of the library.
        .executableTarget(
            name: "by-thread", dependencies: ["FSession"], path: "Examples/ByThread", exclude: ["by_thread.bpf.c"]),
        .executableTarget(name: "calls", dependencies: ["FSession"], path: "Examples/Calls"),
        .executableTarget(name: "functions", dependencies: ["FSession"], path: "Examples/Functions"),
        .executableTarget(name: "kernel", dependencies: ["FSession"], path: "Examples/Kernel"),
        .executableTarget(
            name: "records", dependencies: ["FSession"], path: "Examples/Records", exclude: ["records.bpf.c"]),
        .executableTarget(
            name: "slow-calls", dependencies: ["FSession"], path: "Examples/SlowCalls",
            exclude: ["slow_calls.bpf.c", "work.c"]),

        // What `make bench` measures the reading of events with.
        .executableTarget(name: "event-rate", dependencies: ["FSession", "ProcessEngine", "CLinux"], path: "Benchmarks/EventRate"),
        // What verifying costs.
        .executableTarget(
            name: "verifier-bench", dependencies: ["Verifier", "BPF"], path: "Benchmarks/Verifier",
            exclude: ["parse.bpf.c"]),

        // What `make census` runs: every function of the machine, and a second reading of what the engine decides.
        .executableTarget(
            name: "census", dependencies: ["ProcessEngine", "Trampoline", "MachineCode", "CensusReader"], path: "Tests/Census", exclude: ["Reader"]),
        .target(name: "CensusReader", dependencies: ["CCapstone"], path: "Tests/Census/Reader"),

        // Programs to machine code.
        .target(name: "Trampoline", dependencies: ["Search", "BPF", "MachineCode", "CCapstone"]),
        .target(name: "JIT", dependencies: ["Search", "BPF", "MachineCode"]),
        .target(name: "MachineCode", dependencies: ["Search"]),
        // Proves a program safe.
        .target(name: "Verifier", dependencies: ["Search", "BPF", "BTF", "PlainText", "TargetRuntime"]),

        // File formats.
        .target(name: "BPF", dependencies: ["Search", "BTF", "ELF", "PlainText"]),
        .target(name: "BTF", dependencies: ["PlainText"]),
        .target(name: "ELF", dependencies: ["PlainText", "CLinux"]),

        // The binary search.
        .target(name: "Search"),
        // Text of others, made harmless.
        .target(name: "PlainText"),

        // C: what runs inside the target, and what Swift cannot import.
        .target(name: "TargetRuntime"),
        .target(name: "CLinux"),
        .systemLibrary(name: "CCapstone", pkgConfig: "capstone", providers: [.apt(["libcapstone-dev"])]),
        .systemLibrary(name: "CLibDW", pkgConfig: "libdw", providers: [.apt(["libdw-dev"])]),
        .systemLibrary(name: "CLZMA", pkgConfig: "liblzma", providers: [.apt(["liblzma-dev"])]),

        // What the tests share: the repository, compilers, processes, waiting.
        .target(name: "TestSupport", path: "Tests/TestSupport"),
        // That the documents are true of the tree.
        .testTarget(name: "ProjectTests", dependencies: ["TestSupport"]),
        .testTarget(name: "ELFTests", dependencies: ["ELF", "TestSupport"]),
        .testTarget(name: "BTFTests", dependencies: ["BTF", "ELF", "TestSupport"]),
        .testTarget(name: "BPFTests", dependencies: ["BPF", "BTF", "ELF", "TestSupport"]),
        .testTarget(
            name: "VerifierTests", dependencies: ["Verifier", "JIT", "BPF", "BTF", "TestSupport"],
            exclude: ["Cases"]),
        .testTarget(name: "MachineCodeTests", dependencies: ["MachineCode", "CCapstone", "TestSupport"]),
        .testTarget(
            name: "JITTests", dependencies: ["JIT", "BPF", "MachineCode", "TargetRuntime", "CLinux", "TestSupport"],
            exclude: ["ARM64/runner.c"]),
        .testTarget(
            name: "TrampolineTests", dependencies: ["Trampoline", "MachineCode", "CLinux", "TrampolineFunctions"],
            exclude: ["ARM64/caller.c"]),
        .testTarget(name: "TargetRuntimeTests", dependencies: ["TargetRuntime", "TargetRuntimeTestSupport", "BPF", "Engine", "TestSupport"]),
        .testTarget(name: "LinuxProcessTests", dependencies: ["LinuxProcess", "ELF", "CLinux", "TestSupport"]),
        .testTarget(
            name: "ProcessEngineTests", dependencies: ["FSession", "kernel-checks", "TestSupport"],
            // C that the tests compile themselves, as a user would.
            exclude: ["Programs", "Targets"]),
        // They run the examples and the command line as they are built.
        .testTarget(
            name: "FSessionTests",
            dependencies: ["FSession", "fsession", "by-thread", "calls", "functions", "kernel", "records", "slow-calls", "TestSupport"]),
        .testTarget(name: "CommandLineTests", dependencies: ["fsession", "TestSupport"]),
        .testTarget(name: "CensusTests", dependencies: ["census", "TestSupport"]),
        // What of the kernel engine needs no kernel.
        .testTarget(name: "KernelEngineTests", dependencies: ["KernelEngine", "Engine", "BPF"]),
        // What runs inside the virtual machines of KernelVMTests.
        .executableTarget(
            name: "kernel-checks", dependencies: ["FSession", "KernelEngine", "Engine", "BPF", "BTF", "CLinux"],
            path: "Tests/KernelChecks", exclude: ["Programs", "kernel.config"]),
        .testTarget(name: "LinuxBPFTests", dependencies: ["LinuxBPF", "generate-linux-bpf"]),
        .testTarget(
            name: "KernelVMTests", dependencies: ["fsession", "kernel-checks", "generate-linux-bpf", "TestSupport"], exclude: ["guest.sh"]),
        // Shared memory, threads and children to kill for the runtime's tests.
        .target(name: "TargetRuntimeTestSupport", dependencies: ["TargetRuntime"], path: "Tests/TargetRuntimeTestSupport"),
        // Real C functions for the trampoline tests to trace.
        .target(name: "TrampolineFunctions", path: "Tests/TrampolineFunctions"),
    ],
    swiftLanguageModes: [.v6]
)
