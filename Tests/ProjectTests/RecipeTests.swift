import TestSupport
import Testing

/// CONTRIBUTING.md says which files change where something is added: neither more nor fewer do.
@Suite("What is to be done to add something") struct RecipeTests {
    private static let all =
        Repository.files(below: "Sources") + Repository.files(below: "Tests") + Repository.files(below: "docs")
        + Repository.files(below: "Tools") + ["README.md"]

    @Test("there is a recipe for each of what people add, and the files that it names are there", arguments: Recipe.headings)
    func files(_ heading: String) throws {
        for pattern in try Recipe(heading).patterns {
            let forX86 = pattern.replacing("_ARCH", with: "_x86_64").replacing("ARCH", with: "X86_64")
            #expect(Self.all.contains { Recipe.matches($0, forX86) }, "\(pattern) is not there")
        }
    }

    @Test("there are recipes for a helper, a map type, a subcommand, a kind of kernel program and an architecture")
    func headings() {
        for heading in ["A helper", "A map type", "A subcommand", "A kind of kernel program", "An architecture"] {
            #expect(Recipe.headings.contains(heading))
        }
    }

    private static let tests = Words("Tests/TargetRuntimeTests", "Tests/VerifierTests/Cases")

    // MARK: - Helpers

    /// Where a helper is named in C, Swift or a document.
    private static func places(ofHelper name: String, _ swiftName: String) -> Set<String> {
        Words.sources.files(
            naming: "bpf_\(name)", "HELPER(\(name)", "HELPER_ROW(\(name)", "INLINED_ROW(\(name)", "BPF_FUNC_\(name)", ".\(swiftName)"
        ).subtracting(["Sources/BPF/Helper.swift"])
    }

    @Test("each helper has its row, its function and its line of documentation")
    func helpers() throws {
        let swiftNames = Dictionary(
            uniqueKeysWithValues: try groups("case \\.(\\w+): \"bpf_(\\w+)\"", in: "Sources/BPF/Helper.swift").map { ($0[1], $0[0]) })
        let rows = try groups("(?m)^(?:HELPER|INLINED)_ROW\\((\\w+), (\\w+)", in: "Sources/TargetRuntime/helper_rows.h")
        #expect(rows.count > 40)
        for row in rows {
            let places = Self.places(ofHelper: row[0], try #require(swiftNames[row[0]]))
            #expect(places.isSuperset(of: ["Sources/TargetRuntime/helper_rows.h", "docs/helpers.md"]), "\(row[0])")
            // Several rows may name one function.
            let function = Words.sources.files(naming: "HELPER(\(row[1])")
            #expect(function == ["Sources/TargetRuntime/helpers.h"] || row[1] == "TAIL_CALL", "\(row[1])")
        }
    }

    /// Helpers of all kinds that neither fsession's own programs call nor a compiler inlines.
    private static let plain = [
        "get_current_comm": "getCurrentComm", "get_current_uid_gid": "getCurrentUIDGID", "get_prandom_u32": "getPrandomU32",
        "map_peek_elem": "mapPeekElem", "map_lookup_percpu_elem": "mapLookupPerCPUElem", "ringbuf_query": "ringbufQuery",
        "ringbuf_discard": "ringbufDiscard", "ktime_get_boot_ns": "ktimeGetBootNs",
    ]

    @Test("a helper is named in the files of the recipe and in no other", arguments: plain.keys.sorted())
    func helper(_ name: String) throws {
        let recipe = try Recipe("A helper")
        let places = Self.places(ofHelper: name, try #require(Self.plain[name]))
        let named = recipe.patterns.filter { $0.hasPrefix("Sources/") || $0.hasPrefix("docs/") }
        #expect(places == Set(named))
        let tested = Self.tests.files(naming: "bpf_\(name)", "BPF_FUNC_\(name)")
        #expect(tested.contains { $0.hasSuffix(".case") }, "no case of the verifier")
        #expect(tested.contains { $0.hasSuffix("Tests.swift") }, "no test of what it does")
    }

    // MARK: - Map types

    private static func places(ofMapType name: String, _ swiftName: String) -> Set<String> {
        let upper = name.uppercased()
        return Words.sources.files(naming: "BPF_MAP_TYPE_\(upper)", "FS_MAP_\(upper)", ".\(swiftName)", upper)
    }

    @Test(
        "a map type of processes is named in the files of the recipe and in no other",
        arguments: [
            ("lru_hash", "lruHash"), ("percpu_hash", "perCPUHash"), ("lru_percpu_hash", "lruPerCPUHash"),
        ])
    func mapType(name: String, swiftName: String) throws {
        let named = try Recipe("A map type").patterns.filter { !$0.hasPrefix("Tests/") }
        #expect(Self.places(ofMapType: name, swiftName) == Set(named))
    }

    @Test(
        "a map type that only the kernel has is a row of two tables: what it is, and since when",
        arguments: [
            ("lpm_trie", "lpmTrie"), ("bloom_filter", "bloomFilter"), ("task_storage", "taskStorage"), ("devmap", "devMap"),
        ])
    func kernelMapType(name: String, swiftName: String) throws {
        #expect(Self.places(ofMapType: name, swiftName) == Set(try Recipe("A map type").patterns.prefix(2)))
    }

    // MARK: - Subcommands

    @Test("each subcommand has its file, its place in the list, a word in README and a test")
    func subcommands() throws {
        let list = try Repository.text("Sources/CommandLine/FSessionCommand.swift")
        let readme = try Repository.text("README.md")
        let tests = ["Tests/CommandLineTests", "Tests/KernelVMTests"].flatMap(Repository.files).compactMap { try? Repository.text($0) }
        let files = Repository.files(below: "Sources/CommandLine").filter { $0.hasSuffix("Command.swift") && !$0.hasSuffix("FSessionCommand.swift") }
        #expect(files.count >= 6)
        for file in files {
            let type = try #require(file.split(separator: "/").last?.dropLast(".swift".count))
            let name = type.dropLast("Command".count).lowercased()
            #expect(list.contains("\(type).self"), "\(type)")
            #expect(readme.contains("fsession \(name)"), "README does not name 'fsession \(name)'")
            #expect(tests.contains { $0.contains("\"\(name)\"") || $0.contains("fsession \(name)") }, "no test of \(name)")
            // Its type is named nowhere else: it has no logic that others could use.
            #expect(Words.sources.files(naming: String(type)) == [file, "Sources/CommandLine/FSessionCommand.swift"])
        }
    }

    // MARK: - Kinds of kernel programs

    @Test("each kind of kernel program has its rows and a program that checks try")
    func kinds() throws {
        let kinds = try groups("(?m)^    case (\\w+) = \"([\\w.]+)\"", in: "Sources/BPF/Object/ProgramKind.swift")
        #expect(kinds.count > 20)
        let row = try #require(try Recipe("A kind of kernel program").patterns.dropFirst().first)
        let table = try Repository.text(row)
        let document = try Repository.text("docs/kernel.md")
        let programs = try Repository.files(below: "Tests/KernelChecks/Programs").map { try Repository.text($0) }.joined()
        // A writable tracepoint needs one that can be written to; the other two are attached as their twins are.
        let untried = ["raw_tracepoint.w", "kretsyscall", "uretprobe.multi"]
        for kind in kinds {
            let names = [kind[1], kind[1].replacing("raw_tracepoint", with: "raw_tp"), kind[1].replacing("tracepoint", with: "tp")]
            #expect(table.contains(".\(kind[0])"), "\(kind[1])")
            #expect(names.contains { document.contains("`\($0)") }, "docs/kernel.md does not name \(kind[1])")
            let tried = names.contains { name in
                ["\"", "\"?"].contains { mark in ["/", "\"", ".s"].contains { programs.contains("SEC(\(mark)\(name)\($0)") } }
            }
            #expect(tried != untried.contains(kind[1]), "\(kind[1])")
        }
    }

    @Test(
        "a kind that is attached in a way which is there is named in the files of the recipe and in no other",
        arguments: [
            "kprobeSession", "kretprobeMulti", "typedTracepoint",
        ])
    func kind(_ swiftName: String) throws {
        let named = try Recipe("A kind of kernel program").patterns.filter { $0.hasPrefix("Sources/") }
        #expect(Words.sources.files(naming: ".\(swiftName)", swiftName) == Set(named))
    }

    // MARK: - Architectures

    @Test("what is named for an architecture is in the recipe, and both have each part but those that it says are missing")
    func architectures() throws {
        let recipe = try Recipe("An architecture")
        let lines = try Repository.text("CONTRIBUTING.md").split(separator: "\n")
        let files = Repository.files(below: "Sources")
        for (swift, c) in [("X86_64", "x86_64"), ("ARM64", "arm64")] {
            let patterns = recipe.patterns.map { ($0, $0.replacing("_ARCH", with: "_\(c)").replacing("ARCH", with: swift)) }
            for file in files where file.contains(swift) || file.contains("_\(c)") {
                #expect(patterns.contains { Recipe.matches(file, $1) }, "\(file) is in no line of the recipe")
            }
            for (pattern, mine) in patterns {
                let isMissing = lines.contains { $0.hasPrefix("- `\(pattern)`") && $0.contains("Not there for \(c)") }
                #expect(files.contains { Recipe.matches($0, mine) } != isMissing, "\(mine)")
            }
        }
    }
}
