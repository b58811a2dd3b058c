import ELF
import Foundation
import TestSupport
import Testing

extension FileTests {
    @Suite struct DamagedFileTests {
        private func description(_ bytes: [UInt8]) -> String {
            do throws(ELFError) {
                _ = try ELFFile(bytes: bytes, name: "x")
                return "no error"
            } catch {
                return error.description
            }
        }

        @Test("what is not a 64-bit little-endian ELF file is refused in one line that says so")
        func refusals() throws {
            let good = try [UInt8](Data(contentsOf: URL(fileURLWithPath: "/usr/bin/env")))
            #expect(description([]) == "x is not an ELF file")
            #expect(description(Array("#!/bin/sh\n".utf8)) == "x is not an ELF file")
            #expect(description(Array(good[..<20])) == "x is truncated: the ELF header ends at 64, beyond the file's 20 bytes")
            var other = good
            other[4] = 1
            other[18] = 3
            #expect(description(other) == "x: a 32-bit ELF file (machine i386); only 64-bit files can be read")
            other = good
            other[5] = 2
            #expect(description(other) == "x: a big-endian ELF file; only little-endian 64-bit files can be read")
            let message = description(Array(good[..<5000]))
            #expect(message == "x is truncated: the section header table ends at \(good.count), beyond the file's 5000 bytes")
        }

        @Test("a section beyond the end is named, with its number and the file's size")
        func truncatedSection() throws {
            var bytes = try [UInt8](Data(contentsOf: URL(fileURLWithPath: "/usr/bin/env")))
            let whole = try ELFFile(bytes: bytes)
            let text = try #require(whole.section(named: ".text"))
            let table = bytes.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: 40, as: UInt64.self) }
            bytes[Int(table) + text.index * 64 + 32 + 3] = 0x7f
            let damaged = try ELFFile(bytes: bytes, name: "x")
            let section = try #require(damaged.section(named: ".text"))
            let error = #expect(throws: ELFError.self) { try damaged.contents(of: section) }
            let end = section.offset + section.size
            #expect(
                error?.description
                    == "x is truncated: section \(text.index) (.text) ends at \(end), beyond the file's \(bytes.count) bytes")
        }

        @Test(
            "a path that cannot be read says why",
            arguments: [
                ("/nonexistent", "cannot read /nonexistent: No such file or directory"),
                ("/tmp", "cannot read /tmp: Is a directory"),
                ("/dev/null", "/dev/null is not an ELF file"),
                ("/etc/passwd", "/etc/passwd is not an ELF file"),
            ])
        func unreadable(path: String, message: String) {
            let error = #expect(throws: ELFError.self) { try ELFFile(path: path) }
            #expect(error?.description == message)
        }

        @Test("40,000 damaged files: each is read or refused, without a crash, a hang or much memory")
        func mutations() throws {
            let object = try withTemporaryFolder { folder in
                try "int f(int a) { return a; } int (*p)(int) = f; int main(void) { return p(0); }".write(
                    to: folder.appendingPathComponent("a.c"), atomically: true, encoding: .utf8)
                _ = try run("clang", "-c", "a.c", in: folder)
                _ = try run("clang", "a.o", "-s", "-o", "a", "-Wl,--build-id", in: folder)
                _ = try run("llvm-objcopy", "--strip-sections", "a", "b", in: folder)
                return try ["a.o", "a", "b"].map { try [UInt8](Data(contentsOf: folder.appendingPathComponent($0))) }
            }
            var generator = SeededGenerator(state: 1)
            var read = 0
            let before = try residentMemory()
            for round in 0..<40_000 {
                guard let file = try? ELFFile(bytes: object[round % 3].mutated(using: &generator)) else { continue }
                read += 1
                for section in file.sections {
                    _ = try? file.contents(of: section)
                    _ = try? file.relocations(for: section)
                }
                for symbols in [try? file.symbols, try? file.dynamicSymbols].compactMap({ $0 }) {
                    for symbol in symbols { _ = symbols.name(of: symbol).isEmpty && file.section(at: symbol.sectionIndex) == nil }
                }
                _ = (file.notes.count, file.buildID, file.debugLink, file.soname, file.neededLibraries, file.interpreter)
                if round % 1000 == 0 { try #require(residentMemory() - before < 256 << 20) }
            }
            // Not all of the damage is at a place that matters, nor all of it elsewhere.
            #expect(read > 4_000 && read < 36_000)
        }
    }
}
