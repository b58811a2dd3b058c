import Foundation
import TargetRuntime
import TargetRuntimeTestSupport
import TestSupport
import Testing

/// That the code runs in a copy, which has nothing around it, is shown by all other tests: they call it there.
@Suite struct SectionTests {
    @Test("every helper has a place in the section and its name; others have none")
    func table() {
        let size = Int64(fs_runtime_size())
        #expect(size > 1000)
        var names: Set<String> = []
        for helper in 0..<400 as Range<UInt32> {
            let offset = fs_runtime_helper_offset(helper)
            let name = fs_runtime_helper_name(helper).map { String(cString: $0) }
            #expect((offset >= 0) == (name != nil))
            #expect(offset < size)
            if let name {
                #expect(name.hasPrefix("bpf_"))
                names.insert(name)
            }
        }
        var rows: [fs_helper_row] = []
        while let row = fs_helper_row(rows.count) { rows.append(row.pointee) }
        #expect(names == Set(rows.filter { $0.number != BPF_FUNC_tail_call.rawValue }.map { String(cString: $0.name) }))
        #expect(fs_runtime_helper_offset(BPF_FUNC_tail_call.rawValue) == -1)
        #expect(fs_runtime_helper_offset(.max) == -1)
        #expect(fs_runtime_function_offset("library_event") >= 0)
        #expect(fs_runtime_function_offset("find_fde") >= 0)
        #expect(fs_runtime_function_offset("iterate_phdr") >= 0)
        #expect(fs_runtime_function_offset("") == -1)
    }

    private static func objectFile() -> String? {
        // Both are products of the same build.
        guard let program = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe") else { return nil }
        let object = URL(fileURLWithPath: program).deletingLastPathComponent()
            .appendingPathComponent("TargetRuntime.build/TargetRuntime.c.o").path
        return FileManager.default.fileExists(atPath: object) ? object : nil
    }

    private static let hasBinutils = ["/usr/bin/readelf", "/usr/bin/objdump"].allSatisfy(FileManager.default.isExecutableFile)

    @Test("the compiled section refers to nothing outside, and uses no vector or x87 register", .enabled(if: hasBinutils))
    func object() throws {
        let object = try #require(Self.objectFile())
        let sections = try run("/usr/bin/readelf", "-SW", object)
        #expect(sections.contains(" fsession_runtime "))
        #expect(!sections.contains(".relafsession_runtime"), "the section has relocations")
        let code = try run("/usr/bin/objdump", "-d", "--no-show-raw-insn", "-j", "fsession_runtime", object)
        #expect(code.split(separator: "\n").count > 2000)
        let vector = code.split(separator: "\n").filter { $0.contains("%xmm") || $0.contains("%ymm") || $0.contains("%st") || $0.contains("%mm") }
        #expect(vector.isEmpty)
    }
}
