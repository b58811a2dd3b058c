import ELF
import Foundation
import Glibc
import LinuxProcess
import TestSupport
import Testing

@Suite("Modules and their functions") struct SymbolTests {
    /// Address and name of every function that nm shows, with the same rules: versions cut, cold parts out.
    private func nm(_ path: String, _ options: [String] = []) throws -> Set<String> {
        let result = try runBlocking(["nm", "--defined-only"] + options + [path])
        var found: Set<String> = []
        for line in result.output.split(separator: "\n") {
            let words = line.split(separator: " ")
            guard words.count == 3, let address = UInt64(words[0], radix: 16) else { continue }
            guard "tTwWi".contains(words[1]) else { continue }
            let name = words[2].prefix { $0 != "@" }
            found.insert("\(address) \(name)")
        }
        return found
    }

    /// FUNC and IFUNC symbols by readelf: nm does not tell functions from labels.
    private func readelf(_ path: String, _ option: String) throws -> Set<String> {
        let result = try runBlocking(["readelf", "-W", option, path])
        var found: Set<String> = []
        for line in result.output.split(separator: "\n") {
            let words = line.split(separator: " ")
            guard words.count >= 8, words[3] == "FUNC" || words[3] == "IFUNC", words[6] != "UND", words[6] != "ABS",
                let address = UInt64(words[1], radix: 16)
            else { continue }
            let name = words[7].prefix { $0 != "@" }
            if name.contains(/\.cold(\.[0-9]+)?$/) { continue }
            found.insert("\(address) \(name)")
        }
        return found
    }

    private func all(_ symbols: ModuleSymbols) -> Set<String> {
        Set(symbols.functions.flatMap { function in function.names.map { "\(function.address) \($0)" } })
    }

    static let files: [String] = [
        "/usr/bin/bash", "/usr/bin/perl", "/lib/x86_64-linux-gnu/libc.so.6", "/lib/x86_64-linux-gnu/libcrypto.so.3",
        "/lib/x86_64-linux-gnu/libz.so.1", "/lib64/ld-linux-x86-64.so.2",
    ].filter { FileManager.default.isReadableFile(atPath: $0) }

    @Test("the functions of installed files are those that readelf shows", .enabled(if: Compiler.find("readelf") != nil), arguments: files)
    func installed(path: String) throws {
        let symbols = try ModuleSymbols(path: path)
        let expected = try readelf(path, "-s")
        #expect(!expected.isEmpty)
        let found = all(symbols)
        #expect(expected.subtracting(found) == [])
        if symbols.debugFile == nil { #expect(found.subtracting(expected) == []) }
        #expect(zip(symbols.functions, symbols.functions.dropFirst()).allSatisfy { $0.address < $1.address })
        #expect(symbols.functions.allSatisfy { $0.size > 0 })
    }

    @Test("all functions of node, quickly", .enabled(if: access("/usr/bin/node", R_OK) == 0))
    func node() throws {
        let clock = ContinuousClock()
        var best = Duration.seconds(100)
        var count = 0
        for _ in 0..<3 {
            let time = try clock.measure { count = try ModuleSymbols(path: "/usr/bin/node").functions.reduce(0) { $0 + $1.names.count } }
            best = min(best, time)
        }
        print("node: \(count) names in \(best)")
        #expect(count > 60_000)
        #if !DEBUG
        #expect(best < .milliseconds(900), "generous: the machine is shared")
        #endif
    }

    static let source = """
        #include <stdio.h>
        #include <unistd.h>
        static int impl_a(int x) { return x + 1; }
        static int impl_b(int x) { return x + 2; }
        static volatile int which;
        static int (*choose(void))(int) { return which ? impl_b : impl_a; }
        int picked(int) __attribute__((ifunc("choose")));
        int first(int x) { return x * 3; }
        int second(int) __attribute__((alias("first")));
        int __weakling(int) __attribute__((weak, alias("first")));
        __attribute__((noinline)) static int hidden(int x) { __asm__ volatile(""); return x - 1; }
        __asm__(".text\\n.type sizeless,@function\\n.globl sizeless\\nsizeless: nop\\nnop\\nret\\n.type after,@function\\nafter: ret\\n.size after,1\\n");
        int data = 5;
        int main(int n, char **v) { printf("%d\\n", picked(n) + hidden(n)); fflush(stdout); getchar(); return 0; }
        """

    @Test("aliases are one function, sizes are bounded, data is none")
    func aliases() throws {
        let path = try Support.compile(Self.source, name: "symbols")
        let symbols = try ModuleSymbols(path: path)
        let first = try #require(symbols.functions.first { $0.name == "first" })
        #expect(Set(first.aliases) == ["second", "__weakling"])
        #expect(first.binding == .global)
        #expect(first.kind == .function)
        let sizeless = try #require(symbols.functions.first { $0.name == "sizeless" })
        #expect(sizeless.size == 3)
        #expect(symbols.functions.first { $0.name == "hidden" }?.binding == .local)
        #expect(symbols.functions.first { $0.names.contains("picked") }?.kind == .indirect)
        #expect(!symbols.functions.contains { $0.names.contains("data") || $0.name.contains("plt") })
        #expect(symbols.function(at: first.address) == first)
        #expect(symbols.function(at: first.address + 1) == nil)
        #expect(symbols.function(containing: first.address + first.size - 1) == first)
        #expect(symbols.function(containing: 0) == nil)
        #expect(try all(symbols).isSubset(of: nm(path)))
    }

    @Test("unwind entries cover what the symbols say", arguments: ["/usr/bin/bash", "/lib/x86_64-linux-gnu/libz.so.1"])
    func unwind(path: String) throws {
        guard access(path, R_OK) == 0 else { return }
        let symbols = try ModuleSymbols(path: path)
        let index = try #require(UnwindIndex(try ELFFile(path: path)))
        var covered = 0
        for function in symbols.functions {
            guard let range = index.range(containing: function.address) else { continue }
            covered += 1
            #expect(range.contains(function.address))
            if range.lowerBound == function.address { #expect(UInt64(range.count) >= min(function.size, 16)) }
        }
        #expect(covered * 10 > symbols.functions.count * 9)
        #expect(index.range(containing: 0) == nil)
        #expect(index.range(containing: .max) == nil)
    }

    @Test("a stripped file's functions come from its debug file: by link beside it, in .debug, CRC checked")
    func debugLink() throws {
        let path = try Support.compile(Self.source, name: "linked", arguments: ["-Wl,--build-id=none"])
        let before = all(try ModuleSymbols(path: path))
        let folder = (path as NSString).deletingLastPathComponent
        #expect(try runBlocking(["objcopy", "--only-keep-debug", path, folder + "/linked.debug"]).status == 0)
        #expect(try runBlocking(["sh", "-c", "cd \(folder) && objcopy --strip-all --add-gnu-debuglink=linked.debug linked"]).status == 0)
        let beside = try ModuleSymbols(path: path)
        #expect(beside.debugFile?.name == folder + "/linked.debug")
        #expect(all(beside) == before)
        try FileManager.default.createDirectory(atPath: folder + "/.debug", withIntermediateDirectories: true)
        try FileManager.default.moveItem(atPath: folder + "/linked.debug", toPath: folder + "/.debug/linked.debug")
        #expect(try ModuleSymbols(path: path).debugFile?.name == folder + "/.debug/linked.debug")
        // Another build's file of the same name.
        let handle = try FileHandle(forWritingTo: URL(fileURLWithPath: folder + "/.debug/linked.debug"))
        try handle.seekToEnd()
        handle.write(Data([0]))
        try handle.close()
        let without = try ModuleSymbols(path: path)
        #expect(without.debugFile == nil)
        #expect(!without.functions.contains { $0.name == "hidden" })
    }

    @Test("the modules of a process: program, libraries, dynamic linker, vdso; load biases that fit")
    func modules() throws {
        let path = try Support.compile(Self.source, name: "running")
        let child = try Child(path)
        #expect(try child.readLine() == "2")
        var list = try ModuleList(pid: child.pid)
        #expect(list.unreadable.isEmpty)
        let program = try #require(list.executable)
        #expect(program.path == path && program.name == "running")
        #expect(list.modules.filter(\.isExecutable).count == 1)
        #expect(list.modules.filter(\.isVDSO).count == 1)
        #expect(list.modules.contains { $0.soname == "libc.so.6" })
        #expect(list.modules.contains { $0.name.hasPrefix("ld-linux") })
        #expect(program.loadBias &+ program.file.entry == (try AuxiliaryVector(pid: child.pid).entry))
        let memory = try ProcessMemory(pid: child.pid)
        for module in list.modules {
            let symbols = ModuleSymbols(module)
            #expect(!symbols.functions.isEmpty, "\(module.path)")
            for function in symbols.functions {
                guard module.hasCode(at: function.address &+ module.loadBias) else {
                    Issue.record("\(function.name) of \(module.path) is not in its code")
                    break
                }
            }
            // The code in memory is the code in the file.
            guard !module.isVDSO, let function = symbols.functions.first,
                let offset = module.file.offset(ofAddress: function.address)
            else { continue }
            let live = try memory.read(at: function.address &+ module.loadBias, count: 8)
            #expect(module.file.bytes.slice(at: offset, count: 8)?.bytes == live)
        }
        #expect(try list.refresh().isEmpty)
        // The same with the file gone.
        unlink(path)
        let gone = try #require(try ModuleList(pid: child.pid).executable)
        #expect(gone.isDeleted && gone.path == path)
        #expect(ModuleSymbols(gone).functions.contains { $0.name == "hidden" })
    }

    @Test("a part of a program's code that is mapped once more is no second module")
    func mappedAgain() throws {
        // As V8 does with its built-in functions.
        let source = """
            #include <elf.h>
            #include <fcntl.h>
            #include <stdio.h>
            #include <sys/mman.h>
            #include <unistd.h>
            int main(void) {
                int file = open("/proc/self/exe", O_RDONLY);
                Elf64_Ehdr header;
                pread(file, &header, sizeof header, 0);
                for (int i = 0; i < header.e_phnum; i++) {
                    Elf64_Phdr segment;
                    pread(file, &segment, sizeof segment, header.e_phoff + i * sizeof segment);
                    if (segment.p_type == PT_LOAD && segment.p_flags & PF_X)
                        mmap(0, segment.p_filesz, PROT_READ | PROT_EXEC, MAP_PRIVATE, file, segment.p_offset & ~4095);
                }
                puts("mapped");
                fflush(stdout);
                return getchar();
            }
            """
        let path = try Support.compile(source, name: "again")
        let child = try Child(path)
        #expect(try child.readLine() == "mapped")
        let map = try MemoryMap(pid: child.pid)
        #expect(map.regions.filter { $0.path == path && $0.permissions.contains(.execute) }.count == 2)
        let modules = try ModuleList(pid: child.pid).modules.filter { $0.path == path }
        #expect(modules.count == 1)
        let program = try #require(modules.first)
        let entry = try AuxiliaryVector(pid: child.pid).entry
        #expect(program.isExecutable && program.loadBias &+ program.file.entry == entry)
    }

    @Test("indirect functions are resolved to what the process runs")
    func indirect() throws {
        let path = try Support.compile(Self.source, name: "indirect")
        let child = try Child(path)
        #expect(try child.readLine() == "2")
        let list = try ModuleList(pid: child.pid)
        let memory = try ProcessMemory(pid: child.pid)
        let program = try #require(list.executable)
        var symbols = ModuleSymbols(program)
        IndirectFunctions.resolve(&symbols, of: program, among: list.modules, memory: memory)
        let picked = try #require(symbols.functions.first { $0.kind == .indirect })
        #expect(picked.resolvedAddress == symbols.functions.first { $0.name == "impl_a" }?.address)
        let libc = try #require(list.modules.first { $0.soname == "libc.so.6" })
        var library = ModuleSymbols(libc)
        IndirectFunctions.resolve(&library, of: libc, among: list.modules, memory: memory)
        let resolved = library.functions.filter { $0.resolvedAddress != nil }
        #expect(resolved.contains { $0.names.contains("strlen") })
        // glibc's implementations have no symbols in a stripped library, but unwind entries.
        #expect(resolved.allSatisfy { ($0.resolvedSize ?? 0) > 0 })
        #expect(resolved.allSatisfy { function in function.resolvedAddress.map { libc.hasCode(at: $0 &+ libc.loadBias) } ?? false })
    }

    @Test("a library that comes by dlopen and goes again is told")
    func dlopen() throws {
        let library = try Support.compile("int later(void) { return 4; }", name: "later.so", arguments: ["-shared", "-fPIC"])
        let child = try Child(
            "python3",
            [
                "-uc",
                """
                import ctypes, _ctypes
                print('ready')
                input()
                l = ctypes.CDLL('\(library)')
                print(l.later())
                input()
                _ctypes.dlclose(l._handle)
                print('gone')
                input()
                """,
            ])
        #expect(try child.readLine() == "ready")
        var list = try ModuleList(pid: child.pid)
        child.write("\n")
        #expect(try child.readLine() == "4")
        let changes = try list.refresh()
        let added = try #require(changes.added.first { $0.path == library })
        #expect(ModuleSymbols(added).functions.contains { $0.name == "later" })
        child.write("\n")
        #expect(try child.readLine() == "gone")
        #expect(try list.refresh().removed.contains(added.id))
    }

    @Test("static programs have symbols and resolved indirect functions too")
    func staticProgram() throws {
        let path = try Support.compile(Self.source, name: "static", arguments: ["-static"])
        let child = try Child(path)
        #expect(try child.readLine() == "2")
        let list = try ModuleList(pid: child.pid)
        let program = try #require(list.executable)
        var symbols = ModuleSymbols(program)
        IndirectFunctions.resolve(&symbols, of: program, among: list.modules, memory: try ProcessMemory(pid: child.pid))
        #expect(symbols.functions.contains { $0.names.contains("main") })
        #expect(symbols.functions.contains { $0.names.contains("strlen") && $0.resolvedAddress != nil })
    }

    @Test("names, parents, threads and ends of processes")
    func status() throws {
        let child = try Child("sleep", ["1000"])
        #expect(eventually { (try? ProcessStatus(child.pid).name) == "sleep" })
        let status = try ProcessStatus(child.pid)
        #expect(status.id == child.pid && status.threadGroup == child.pid)
        #expect(status.parent == getpid())
        #expect(status.user == getuid() && status.seccomp == 0 && status.threadCount == 1 && !status.isKernelThread)
        #expect(ProcessList.children(of: getpid()).contains(child.pid))
        #expect(ProcessList.ancestors(of: child.pid).first == getpid())
        #expect(ProcessList.all().contains(child.pid))
        #expect(try ThreadInfo.threads(of: child.pid) == [ThreadInfo(id: child.pid, name: "sleep")])
        let descriptor = try ProcessDescriptor(child.pid)
        let early = descriptor.waitForEnd(milliseconds: 20)
        #expect(!early)
        try descriptor.send(signal: SIGTERM)
        let late = descriptor.waitForEnd(milliseconds: 5000)
        #expect(late)
        #expect(throws: ProcessError.noSuchProcess(pid: 4_194_303)) { _ = try ProcessDescriptor(4_194_303) }
        // A hostile name: it looks like other fields.
        let parsed = ProcessStatus(parsing: "Name:\ta) S 1\nState:\tZ (zombie)\nPid:\t12\nTgid:\t11\nUid:\t1\t2\t3\t4\n")
        #expect(parsed.name == "a) S 1" && parsed.state == .zombie && parsed.id == 12 && parsed.effectiveUser == 2)
    }
}
