import BPF
import BTF
import ELF
import Foundation
import TestSupport
import Testing

@Suite struct ObjectMutationTests {
    /// Damages bytes in the places that `Object` reads, or cuts the end off.
    private static func mutate(_ bytes: [UInt8], _ places: [Range<Int>], _ generator: inout SeededGenerator) -> [UInt8] {
        var copy = bytes
        for _ in 0..<Int.random(in: 1...3, using: &generator) where !copy.isEmpty {
            let range = places.randomElement(using: &generator)!
            let at = Int.random(in: range, using: &generator)
            guard at < copy.count else { continue }
            switch Int.random(in: 0..<20, using: &generator) {
            case 0..<7: copy[at] = UInt8.random(in: 0...255, using: &generator)
            case 7..<12: copy[at] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
            case 12..<19:
                let value = ([0, 1, 8, 0x7f, 0xff, 0xffff, 0x7fff_ffff, 0xffff_ffff, 1 << 63, .max] as [UInt64])
                    .randomElement(using: &generator)!
                let size = [1, 2, 4, 8].randomElement(using: &generator)!
                for byte in 0..<size where at + byte < copy.count {
                    copy[at + byte] = UInt8(truncatingIfNeeded: value >> UInt64(8 * byte))
                }
            default: copy.removeLast(Int.random(in: 1...copy.count, using: &generator))
            }
        }
        return copy
    }

    @Test("25,000 damaged objects: each is read or refused, and what is read is consistent")
    func mutations() throws {
        let bytes = try compileBPF(everything)
        let file = try ELFFile(bytes: bytes)
        // The headers and all sections but those of DWARF, which nobody reads here.
        let table = bytes.withUnsafeBytes { Int($0.loadUnaligned(fromByteOffset: 40, as: UInt64.self)) }
        let places =
            [0..<64, table..<bytes.count]
            + file.sections.compactMap { section in
                section.name.contains(".debug") || section.type == .noBits || section.size == 0
                    ? nil : Int(section.offset)..<Int(section.offset + section.size)
            }
        #expect(places.count > 12)
        var generator = SeededGenerator(state: 3)
        var accepted = 0
        var messages: Set<String> = []
        let before = try residentMemory()
        for round in 0..<25_000 {
            if round % 500 == 0 { try #require(residentMemory() - before < 256 << 20) }
            let damaged = Self.mutate(bytes, places, &generator)
            do throws(ObjectError) {
                let object = try Object(bytes: damaged, name: "x.o")
                accepted += 1
                for program in object.programs {
                    let slots = program.instructions.indices
                    #expect(program.targets.allSatisfy { slots.contains($0) })
                    #expect(program.subprograms.allSatisfy { slots.contains($0.start) })
                    #expect(program.lines.allSatisfy { slots.contains($0.slot) })
                    #expect((program.loads(.map) + program.loads(.mapValue)).allSatisfy { object.maps.indices.contains(Int($0[0])) })
                    #expect(program.loads(.variable).allSatisfy { object.externs.indices.contains(Int($0[0])) })
                }
                for map in object.maps {
                    guard let type = map.valueTypeID, let contents = map.initialContents else { continue }
                    #expect(contents.count == Int(map.valueSize))
                    _ = object.btf?.value(of: contents, as: type).json
                }
            } catch {
                messages.insert(String(error.description.prefix(24)))
                #expect(!error.description.contains("\n"))
            }
        }
        #expect(accepted > 1_000 && accepted < 24_000)
        #expect(messages.count > 10)
    }
}
