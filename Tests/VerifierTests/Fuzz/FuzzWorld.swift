import BPF
import JIT
import Verifier

/// Memory for the maps and the context of ``FuzzProgram``, and its helpers, which check what the verifier promised.
final class FuzzWorld {
    private let context = Block(7 * 8)
    private let cookie = Block(8)
    private let bss = Block(32)
    private let rodata: Block
    private let hashValue = Block(16)
    private let arrayValues = (0..<4).map { _ in Block(24) }
    private var records: [Block] = []
    private var generator = SeededGenerator(seed: 0)

    /// What no memory is: maps as helpers know them.
    private static let mapHandle: UInt64 = 0xf5f5_0000_0000_0000
    private static let kfuncs: UInt32 = 1_000_000

    /// Memory by itself, with nothing of ours near by.
    private final class Block {
        let bytes: UnsafeMutableRawBufferPointer
        init(_ count: Int) {
            bytes = .allocate(byteCount: count + 256, alignment: 16)
            bytes.initializeMemory(as: UInt8.self, repeating: 0)
            self.count = count
        }
        let count: Int
        var inner: UnsafeMutableRawBufferPointer { .init(rebasing: bytes[128..<128 + count]) }
        var address: UInt64 { MemoryRegion(inner).address }
        deinit { bytes.deallocate() }
    }

    init() {
        let contents = FuzzProgram.maps[3].initialContents ?? []
        rodata = Block(contents.count)
        rodata.inner.copyBytes(from: contents)
    }

    /// What the interpreter takes: references resolved, kfuncs as helpers.
    func resolved(_ program: [Instruction]) -> [Instruction] {
        var program = program
        var slot = 0
        while slot < program.count {
            let instruction = program[slot]
            if instruction.opcode == .wideLoad, slot + 1 < program.count {
                var value: UInt64?
                switch WideImmediate(rawValue: instruction.source.rawValue) {
                case .map: value = Self.mapHandle + UInt64(UInt32(bitPattern: instruction.immediate))
                case .mapValue:
                    let block = instruction.immediate == 2 ? bss : rodata
                    value = block.address + UInt64(UInt32(bitPattern: program[slot + 1].immediate))
                // The program's externs are the two kfuncs, which exist.
                case .variable: value = 1
                default: break
                }
                if let value {
                    program.replaceSubrange(slot..<slot + 2, with: Instruction.loadImmediate(instruction.destination, value))
                }
                slot += 2
                continue
            }
            if instruction.opcode == .call, instruction.source == .r2 {
                program[slot] = .call(.helper(Self.kfuncs &+ UInt32(bitPattern: instruction.immediate)))
            }
            slot += 1
        }
        return program
    }

    /// Runs the program on random memory; returns what went wrong.
    func run(
        _ interpreter: Interpreter, seed: UInt64, observer: Interpreter.Observer? = nil
    ) -> String? {
        generator = SeededGenerator(seed: seed)
        records = []
        for block in [context, cookie, bss, hashValue] + arrayValues {
            for word in 0..<block.count / 8 {
                block.inner.storeBytes(of: generator.number(), toByteOffset: word * 8, as: UInt64.self)
            }
        }
        let memory =
            [MemoryRegion(UnsafeRawBufferPointer(context.inner)), MemoryRegion(UnsafeRawBufferPointer(rodata.inner))]
            + ([cookie, bss, hashValue] + arrayValues).map { MemoryRegion($0.inner) }
        let result: UInt64
        do throws(InterpreterError) {
            result = try interpreter.run(
                context: context.address, memory: memory,
                helpers: { call throws(InterpreterError) in try self.answer(call) }, observer: observer)
        } catch {
            return "\(error)"
        }
        if result != 0 { return "it returned \(result)" }
        if !records.isEmpty { return "it kept \(records.count) records" }
        return nil
    }

    private func answer(_ call: HelperCall) throws(InterpreterError) -> UInt64 {
        func require(_ address: UInt64, _ count: UInt64, isWrite: Bool = false) throws(InterpreterError) {
            guard count <= 1 << 29, count == 0 || call.permits(address: address, byteCount: Int(count), isWrite: isWrite)
            else { throw .helper("helper \(call.id) is handed \(count) bytes at 0x\(String(address, radix: 16))") }
        }
        func fill(_ address: UInt64, _ count: UInt64) throws(InterpreterError) {
            try require(address, count, isWrite: true)
            guard let pointer = UnsafeMutableRawPointer(bitPattern: UInt(address)) else { return }
            for index in 0..<Int(count) { pointer.storeBytes(of: UInt8(generator.below(256)), toByteOffset: index, as: UInt8.self) }
        }
        func map(_ handle: UInt64) throws(InterpreterError) -> Int {
            guard handle >= Self.mapHandle, handle < Self.mapHandle + UInt64(FuzzProgram.maps.count) else {
                throw .helper("helper \(call.id) is handed no map")
            }
            return Int(handle - Self.mapHandle)
        }
        switch call.id {
        case Self.kfuncs, Self.kfuncs + 1:
            guard call.r1 == context.address else { throw .helper("a session kfunc is handed no context") }
            return call.id == Self.kfuncs ? UInt64(generator.below(2)) : cookie.address
        case Helper.mapLookupElem.rawValue:
            let map = try map(call.r1)
            guard map < 4 else { throw .helper("lookup in map \(map)") }
            try require(call.r2, 4)
            if map == 0 { return generator.chance(60) ? hashValue.address : 0 }
            // All elements of arrays are there.
            guard let key = UnsafeRawPointer(bitPattern: UInt(call.r2))?.loadUnaligned(as: UInt32.self),
                key < FuzzProgram.maps[map].maxEntries
            else { return 0 }
            if map >= 2 { return (map == 2 ? bss : rodata).address }
            return arrayValues[Int(key)].address
        case Helper.mapUpdateElem.rawValue:
            let map = try map(call.r1)
            guard FuzzProgram.maps[map].keySize == 4 else { throw .helper("update of map \(map)") }
            try require(call.r2, 4)
            try require(call.r3, UInt64(FuzzProgram.maps[map].valueSize))
            return 0
        case Helper.mapDeleteElem.rawValue:
            _ = try map(call.r1)
            try require(call.r2, 4)
            return 0
        case Helper.ringbufReserve.rawValue:
            guard try map(call.r1) == 4 else { throw .helper("reserve in another map") }
            guard generator.chance(80), call.r2 <= 4096 else { return 0 }
            let record = Block(Int(call.r2))
            records.append(record)
            call.add(MemoryRegion(record.inner))
            return record.address
        case Helper.ringbufSubmit.rawValue, Helper.ringbufDiscard.rawValue:
            guard let index = records.firstIndex(where: { $0.address == call.r1 }) else {
                throw .helper("submits what is no record")
            }
            call.remove(MemoryRegion(records[index].inner))
            records.remove(at: index)
            return 0
        case Helper.ringbufOutput.rawValue:
            guard try map(call.r1) == 4 else { throw .helper("output to another map") }
            try require(call.r2, call.r3)
            return 0
        case Helper.probeRead.rawValue, Helper.probeReadUser.rawValue, Helper.probeReadKernel.rawValue:
            try fill(call.r1, call.r2)
            return 0
        case Helper.getCurrentComm.rawValue:
            try fill(call.r1, call.r2)
            return 0
        case Helper.loop.rawValue:
            guard call.r4 == 0, call.r1 & 0xffff_ffff <= 1 << 23 else { return 0 &- 22 }
            // Enough to see what a round does.
            let rounds = min(call.r1 & 0xffff_ffff, 200)
            for index in 0..<rounds {
                if try call.callBack(call.r2, index, call.r3) != 0 { return index + 1 }
            }
            return call.r1 & 0xffff_ffff
        case Helper.getPrandomU32.rawValue: return generator.number() & 0xffff_ffff
        case Helper.getSmpProcessorId.rawValue: return UInt64(generator.below(4096))
        case Helper.ktimeGetNs.rawValue, Helper.jiffies64.rawValue, Helper.getCurrentPidTgid.rawValue,
            Helper.ktimeGetBootNs.rawValue, Helper.getCurrentUidGid.rawValue:
            return generator.number()
        default: throw .unknownHelper(call.id)
        }
    }
}
