import ELF
import Foundation
import TestSupport
import Testing

extension FileTests {
    @Suite struct ELFFileTests {
        /// Big, with and without `.symtab`, a library with IFUNCs, and a program.
        static let installed = ["/usr/bin/node", "/lib/x86_64-linux-gnu/libc.so.6", "/usr/bin/env", "/usr/bin/perl"]

        @Test("sections, their flags and places are those that readelf reads", arguments: installed)
        func sections(path: String) throws {
            let file = try ELFFile(path: path)
            let lines = try run("readelf", "-W", "-S", path).split(separator: "\n").filter { $0.contains("]") }
                .compactMap { line -> [Substring]? in
                    guard let close = line.firstIndex(of: "]"), !line.contains("[Nr]"), !line.contains("NULL") else { return nil }
                    return line[line.index(after: close)...].split(separator: " ")
                }
            #expect(file.sections.count == lines.count + 1)
            for (section, fields) in zip(file.sections.dropFirst(), lines) {
                #expect(section.name == fields[0])
                #expect(section.address == UInt64(fields[2], radix: 16))
                #expect(section.offset == UInt64(fields[3], radix: 16))
                #expect(section.size == UInt64(fields[4], radix: 16))
                #expect(section.flags.contains(.execute) == fields[6].contains("X"))
                #expect(file.section(named: section.name)?.name == section.name)
            }
        }

        @Test("dynamic symbols have the names, values and types that readelf reads", arguments: installed)
        func dynamicSymbols(path: String) throws {
            let file = try ELFFile(path: path)
            let symbols = try file.dynamicSymbols
            let lines = try run("readelf", "-W", "--dyn-syms", path).split(separator: "\n")
                .map { $0.split(separator: " ") }.filter { $0.first?.last == ":" && Int($0[0].dropLast()) != nil }
            try #require(lines.count > 10)
            #expect(symbols.count == lines.count)
            let types: [SymbolType: String] = [
                .none: "NOTYPE", .object: "OBJECT", .function: "FUNC", .section: "SECTION", .file: "FILE",
                .threadLocal: "TLS", .indirectFunction: "IFUNC",
            ]
            for (symbol, fields) in zip(symbols, lines) {
                let size = fields[2].hasPrefix("0x") ? UInt64(fields[2].dropFirst(2), radix: 16) : UInt64(fields[2])
                let name = fields.count > 7 ? fields[7].split(separator: "@").first ?? "" : ""
                #expect(symbols.name(of: symbol) == name)
                #expect(symbol.value == UInt64(fields[1], radix: 16))
                #expect(symbol.size == size)
                #expect(types[symbol.type] == String(fields[3]))
                #expect(symbol.isDefined == (fields[6] != "UND"))
            }
        }

        @Test("libc has IFUNCs, a SONAME, a build id, an interpreter, and addresses that lie in the file")
        func libc() throws {
            let file = try ELFFile(path: "/lib/x86_64-linux-gnu/libc.so.6")
            #expect(file.kind == .shared)
            #expect(file.machine == .x86_64)
            #expect(file.soname == "libc.so.6")
            #expect(file.neededLibraries.contains { $0.hasPrefix("ld-linux-x86-64.so") })
            #expect(file.interpreter?.hasSuffix("ld-linux-x86-64.so.2") == true)
            #expect(!file.isGo)
            let symbols = try file.dynamicSymbols
            #expect(symbols.contains { $0.type == .indirectFunction && symbols.name(of: $0) == "memcpy" })
            let notes = try run("readelf", "-n", file.name)
            let identifier = try #require(file.buildID).map { String(format: "%02x", $0) }.joined()
            #expect(notes.contains("Build ID: \(identifier)"))
            let text = try #require(file.section(named: ".text"))
            #expect(file.offset(ofAddress: text.address) == text.offset)
            #expect(file.address(ofOffset: text.offset) == text.address)
            #expect(file.offset(ofAddress: 0xffff_ffff_0000) == nil)
        }

        @Test("all of node's symbols are walked without an allocation for each, in well under a second")
        func manySymbols() throws {
            let file = try ELFFile(path: "/usr/bin/node")
            let before = try residentMemory()
            var functions = 0
            var matches = 0
            let time = try ContinuousClock().measure {
                let symbols = try file.dynamicSymbols
                for _ in 0..<4 {
                    for symbol in symbols where symbol.isFunction {
                        functions += 1
                        if symbols.withName(of: symbol, { $0.elementsEqual("napi_create_object".utf8) }) == true { matches += 1 }
                    }
                }
            }
            #expect(functions > 100_000)
            #expect(matches == 4)
            #expect(time < .seconds(1))
            // The file is 95 MB: it is mapped, not copied.
            #expect(try residentMemory() - before < 32 << 20)
        }

        @Test("local symbols, REL and RELA relocations of a compiled object")
        func relocatable() throws {
            try withTemporaryFolder { folder in
                let source = """
                    extern int elsewhere(int); static int hidden(int a) { return elsewhere(a) + 1; }
                    int (*pointer)(int) = hidden; int visible(int a) { return pointer(a); }
                    """
                try source.write(to: folder.appendingPathComponent("a.c"), atomically: true, encoding: .utf8)
                _ = try run("clang", "-c", "-O1", "a.c", in: folder)
                _ = try run("clang", "-c", "-O1", "-target", "bpf", "a.c", "-o", "b.o", in: folder)

                let native = try ELFFile(path: folder.appendingPathComponent("a.o").path)
                #expect(native.kind == .relocatable)
                let symbols = try native.symbols
                let hidden = try #require(symbols.first { symbols.name(of: $0) == "hidden" })
                #expect(hidden.type == .function && hidden.binding == .local && hidden.size > 0)
                let data = try native.relocations(for: #require(native.section(named: ".data")))
                let entry = try #require(data.first)
                #expect(data.count == 1 && entry.type == 1 /* R_X86_64_64 */ && entry.addend != nil)
                let target = try #require(symbols.symbol(at: entry.symbol))
                #expect(target.sectionIndex == native.section(named: ".text")?.index)

                let bpf = try ELFFile(path: folder.appendingPathComponent("b.o").path)
                #expect(bpf.machine == .bpf)
                let bpfSymbols = try bpf.symbols
                let text = try bpf.relocations(for: #require(bpf.section(named: ".text")))
                #expect(
                    text.contains {
                        $0.addend == nil && bpfSymbols.symbol(at: $0.symbol).map(bpfSymbols.name(of:)) == "elsewhere"
                    })
            }
        }

        @Test("a stripped program names its debug file and that file's checksum")
        func debugLink() throws {
            try withTemporaryFolder { folder in
                try "int main(void) { return 0; }".write(
                    to: folder.appendingPathComponent("a.c"), atomically: true, encoding: .utf8)
                _ = try run("clang", "-g", "a.c", "-o", "a", "-Wl,--build-id", in: folder)
                _ = try run("objcopy", "--only-keep-debug", "a", "a.debug", in: folder)
                _ = try run("strip", "a", in: folder)
                _ = try run("objcopy", "--add-gnu-debuglink=a.debug", "a", in: folder)
                let stripped = try ELFFile(path: folder.appendingPathComponent("a").path)
                let link = try #require(stripped.debugLink)
                #expect(link.name == "a.debug")
                let debug = try ELFFile(path: folder.appendingPathComponent("a.debug").path)
                #expect(link.crc == debug.checksum)
                #expect(debug.buildID != nil && debug.buildID == stripped.buildID)
                #expect(try stripped.symbols.isEmpty)
                let symbols = try debug.symbols
                #expect(symbols.contains { symbols.name(of: $0) == "main" })
                #expect(debug.debugLink == nil)
            }
        }

        @Test("without section headers the dynamic symbols are found by the hash table, new or old", arguments: ["gnu", "sysv"])
        func noSections(style: String) throws {
            try withTemporaryFolder { folder in
                let source = (0..<50).map { "int function\($0)(int a) { return a + \($0); }\n" }.joined()
                try (source + "extern int puts(const char *); int last(void) { return puts(\"\"); }").write(
                    to: folder.appendingPathComponent("a.c"), atomically: true, encoding: .utf8)
                _ = try run("clang", "-shared", "-fPIC", "-Wl,--hash-style=\(style)", "-Wl,-soname,me", "a.c", "-o", "a.so", in: folder)
                _ = try run("llvm-objcopy", "--strip-sections", "a.so", "b.so", in: folder)
                let whole = try ELFFile(path: folder.appendingPathComponent("a.so").path)
                let stripped = try ELFFile(path: folder.appendingPathComponent("b.so").path)
                #expect(stripped.sections.isEmpty && stripped.soname == "me")
                let symbols = try whole.dynamicSymbols
                let found = try stripped.dynamicSymbols
                #expect(symbols.count > 51 && found.elementsEqual(symbols))
                #expect(found.map(found.name(of:)) == symbols.map(symbols.name(of:)))
                #expect(try stripped.symbols.isEmpty)
            }
        }

        @Test("a file with more sections than the header can count")
        func manySections() throws {
            try withTemporaryFolder { folder in
                let source = (0..<66_000).map { ".section .s\($0)\n.globl f\($0)\nf\($0):\n.byte 0\n" }.joined()
                try source.write(to: folder.appendingPathComponent("a.s"), atomically: true, encoding: .utf8)
                _ = try run("clang", "-c", "a.s", in: folder)
                let file = try ELFFile(path: folder.appendingPathComponent("a.o").path)
                #expect(file.sections.count > 66_000)
                let symbols = try file.symbols
                let last = try #require(symbols.first { symbols.name(of: $0) == "f65999" })
                #expect(file.section(at: last.sectionIndex)?.name == ".s65999")
            }
        }
    }
}
