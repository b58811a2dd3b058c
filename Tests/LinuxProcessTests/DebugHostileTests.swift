import Foundation
import LinuxProcess
import TestSupport
import Testing

@Suite("Hostile debug information")
struct DebugHostileTests {
    /// The file offsets of the sections whose names begin with `.debug`.
    private static func debugSections(of program: String) throws -> [Range<Int>] {
        var result: [Range<Int>] = []
        for line in try run("readelf", "-SW", program).split(separator: "\n") {
            let parts = line.split { $0 == " " || $0 == "[" || $0 == "]" }
            guard let name = parts.firstIndex(where: { $0.hasPrefix(".debug") }), parts.count > name + 4,
                let offset = Int(parts[name + 3], radix: 16), let size = Int(parts[name + 4], radix: 16), size > 0
            else { continue }
            result.append(offset..<offset + size)
        }
        return result
    }

    private static func read(_ path: String, _ addresses: Set<UInt64>) -> Int {
        guard let info = try? DebugInfo(path: path) else { return 0 }
        let prototypes = info.prototypes(for: addresses)
        for prototype in prototypes.values {
            #expect(SystemVABI.classify(prototype).arguments.count == prototype.parameters.count)
        }
        for address in addresses { _ = info.sourceLocation(of: address) }
        return prototypes.count
    }

    @Test("Changed bytes neither crash nor hang the reader", .timeLimit(.minutes(5)))
    func mutations() throws {
        let rounds = ProcessInfo.processInfo.environment["FSESSION_MUTATIONS"].flatMap(Int.init) ?? 2000
        let compilers =
            DebugFixture.compilers(cPlusPlus: false, optimizations: ["-O2"])
            + DebugFixture.compilers(cPlusPlus: true, optimizations: ["-O2"])
        for (number, compiler) in compilers.enumerated() {
            try DebugFixture.withFolder { folder in
                let source =
                    compiler.isCPlusPlus
                    ? DebugInfoTests.cPlusPlusSource.replacing("#include <string>", with: "#include <cstddef>")
                        .replacing("#include <vector>", with: "")
                    : DebugInfoTests.cSource
                let program = try DebugFixture.build(source, with: compiler, in: folder)
                let addresses = Set(try DebugFixture.functions(of: program).values)
                #expect(Self.read(program, addresses) > 10)
                let sections = try Self.debugSections(of: program)
                #expect(sections.count >= 4)
                let original = [UInt8](try Data(contentsOf: URL(fileURLWithPath: program)))
                var generator = DebugConventionTests.Generator(state: UInt64(number))
                var found = 0
                for _ in 0..<rounds / compilers.count {
                    var bytes = original
                    for _ in 0..<Int.random(in: 1...16, using: &generator) {
                        let section = sections.randomElement(using: &generator)!
                        let position = Int.random(in: section, using: &generator)
                        switch Int.random(in: 0..<4, using: &generator) {
                        case 0: bytes[position] = .random(in: 0...255, using: &generator)
                        case 1: bytes[position] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
                        case 2: bytes[position] = 0xff
                        default:
                            // A run from elsewhere in the same section.
                            let from = Int.random(in: section, using: &generator)
                            let count = min(section.upperBound - max(from, position), 24)
                            for index in 0..<count { bytes[position + index] = original[from + index] }
                        }
                    }
                    // A header can be hit too.
                    if Int.random(in: 0..<16, using: &generator) == 0 {
                        bytes[Int.random(in: 0..<64, using: &generator)] = .random(in: 0...255, using: &generator)
                    }
                    if Int.random(in: 0..<16, using: &generator) == 0 {
                        bytes.removeLast(Int.random(in: 0..<bytes.count, using: &generator))
                    }
                    let mutated = folder + "/mutated"
                    try Data(bytes).write(to: URL(fileURLWithPath: mutated))
                    found += Self.read(mutated, addresses)
                }
                // Most of the program still makes sense: otherwise nothing was tested.
                #expect(found > rounds / compilers.count)
            }
        }
    }

    @Test("Field sizes that do not fit their structure give no places")
    func impossibleStructures() {
        let long = ValueType(name: "long", byteCount: 8, kind: .signed)
        let outside = ValueType(
            name: "s", byteCount: 8, kind: .structure(fields: [.init(name: "a", bitOffset: 64, type: long)], byReference: false))
        let huge = ValueType(name: "a", byteCount: 8, kind: .array(of: long, count: .max))
        let large = ValueType(name: "l", byteCount: 1 << 39, alignment: 8, kind: .structure(fields: [], byReference: false))
        let empty = ValueType(
            name: "e", byteCount: 8,
            kind: .array(of: ValueType(name: "z", byteCount: 0, kind: .structure(fields: [], byReference: false)), count: .max))
        func layout(_ type: ValueType) -> CallLayout {
            SystemVABI.classify(
                FunctionPrototype(name: "f", parameters: [.init(name: nil, type: type), .init(name: nil, type: long)], returnType: nil))
        }
        #expect(layout(outside).arguments == [nil, nil])
        #expect(layout(outside).stackWords == nil)
        #expect(layout(huge).arguments[0]?.locations == [.integer(0)])
        #expect(layout(empty).arguments[1]?.locations == [.integer(0)])
        #expect(layout(large).stackWords == 1 << 36)
        #expect(layout(large).arguments[1]?.locations == [.integer(0)])
    }
}
