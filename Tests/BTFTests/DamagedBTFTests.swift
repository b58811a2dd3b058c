import BTF
import ELF
import Foundation
import TestSupport
import Testing

/// Puts type information together word by word.
private struct Builder {
    var types: [UInt32] = []
    var strings: [UInt8] = [0]

    mutating func name(_ text: String) -> UInt32 {
        defer { strings += Array(text.utf8) + [0] }
        return UInt32(strings.count)
    }

    mutating func add(_ name: UInt32, kind: UInt32, count: UInt32 = 0, _ sizeOrType: UInt32, _ rest: UInt32...) {
        types += [name, kind << 24 | count, sizeOrType] + rest
    }

    var bytes: [UInt8] {
        let header: [UInt32] = [0x0001_eb9f, 24, 0, UInt32(types.count * 4), UInt32(types.count * 4), UInt32(strings.count)]
        return (header + types).flatMap { word in (0..<4).map { UInt8(truncatingIfNeeded: word >> (8 * $0)) } } + strings
    }
}

@Suite struct DamagedBTFTests {
    @Test("damage is refused in one line that says what it is")
    func refusals() throws {
        func message(_ bytes: [UInt8]) -> String {
            do throws(BTFError) {
                _ = try BTF(bytes: bytes)
                return "none"
            } catch {
                return error.description
            }
        }
        #expect(message([]) == "the BTF type information is truncated: the header ends beyond it")
        #expect(message(Array("no type information".utf8)) == "the type information is not BTF")
        var builder = Builder()
        builder.add(0, kind: 2, 7)
        #expect(message(builder.bytes) == "the BTF type information is damaged: type 7 of 1 is used")
        builder = Builder()
        builder.add(0, kind: 25, 0)
        #expect(message(builder.bytes) == "the BTF type information cannot be read: a type of kind 25; this version knows 1 to 19")
        builder = Builder()
        builder.add(99, kind: 7, 0)
        #expect(message(builder.bytes) == "the BTF type information is damaged: a name at 99, beyond the strings")
        builder = Builder()
        builder.types = [0, 4 << 24 | 9, 8]
        #expect(message(builder.bytes) == "the BTF type information is truncated: a type ends beyond it")
        #expect(message(Array(builder.bytes.dropLast(1))) == "the BTF type information is truncated: the string section ends beyond it")
    }

    @Test("types that contain themselves end: sizes, names in C, values")
    func circles() throws {
        var builder = Builder()
        let name = builder.name("x")
        builder.add(name, kind: 8, 2)  // 1: typedef 2
        builder.add(0, kind: 10, 1)  // 2: const 1
        builder.add(0, kind: 3, 0, 3, 3, 2)  // 3: array of 3
        builder.add(name, kind: 4, count: 2, 8, 0, 4, 0, 0, 4, 0)  // 4: a struct of two of itself
        builder.add(0, kind: 13, count: 2, 6, 0, 5, 0, 5)  // 5: a function of two of itself
        builder.add(0, kind: 2, 5)  // 6: pointer to 5
        builder.add(0, kind: 5, count: 2, 8, 0, 7, 0, 0, 7, 0)  // 7: an anonymous union of two of itself
        builder.add(0, kind: 1, 4, 32)  // 8: int
        builder.add(0, kind: 3, 0, 8, 8, .max)  // 9: 2^32 ints
        builder.add(0, kind: 3, 0, 9, 8, .max)  // 10: 2^64 ints
        builder.add(name, kind: 4, 0)  // 11: an empty struct
        builder.add(0, kind: 3, 0, 11, 8, .max)  // 12: 2^32 of them
        let btf = try BTF(bytes: builder.bytes)
        let clock = ContinuousClock()
        let time = clock.measure {
            for id in btf.ids {
                #expect(btf.declaration(of: id, name: "n").utf8.count < 4 << 20)
                #expect(btf.definition(of: id).utf8.count < 4 << 20)
                #expect(btf.value(of: [UInt8](repeating: 1, count: 64), as: id).description.utf8.count < 1 << 20)
            }
        }
        #expect(time < .seconds(2))
        func size(_ number: UInt32) -> UInt64? { btf.size(of: BTF.TypeID(rawValue: number)) }
        #expect(btf.resolve(BTF.TypeID(rawValue: 1)) == nil && size(1) == nil && size(3) == nil)
        #expect(size(9) == 4 * UInt64(UInt32.max) && size(10) == nil)
        #expect(btf.value(of: [1, 0, 0, 0, 2], as: BTF.TypeID(rawValue: 9)).description == "[1, …]")
        #expect(btf.value(of: [], as: BTF.TypeID(rawValue: 12)).description == "[]")
    }

    @Test("names that overlap in the string table cannot fill the memory")
    func overlappingNames() throws {
        var builder = Builder()
        _ = builder.name(String(repeating: "x", count: 100_000))
        for offset in 1..<20_000 as Range<UInt32> { builder.add(offset, kind: 7, 0) }
        let error = #expect(throws: BTFError.self) { try BTF(bytes: builder.bytes) }
        #expect(error?.description == "the BTF type information is damaged: its names overlap")
    }

    @Test("40,000 pieces of damaged type information: each is read or refused, and what is read can be used")
    func mutations() throws {
        let original = try typeInformation(BTFTests.source)
        var generator = SeededGenerator(state: 2)
        let before = try residentMemory()
        var read = 0
        let value = [UInt8](repeating: 65, count: 200)
        for round in 0..<40_000 {
            if round % 1000 == 0 { try #require(residentMemory() - before < 256 << 20) }
            guard let btf = try? BTF(bytes: original.mutated(using: &generator)) else { continue }
            read += 1
            guard round % 8 == 0 else { continue }
            for id in btf.ids {
                _ = (btf.size(of: id), btf.definition(of: id))
                _ = btf.value(of: value, as: id).json
            }
        }
        #expect(read > 4_000 && read < 36_000)
    }
}
