import BPF
import JIT
import TestSupport
import Verifier

/// Memory for the maps and the context of ``FuzzProgram``, and its helpers, which check what the verifier promised.
///
/// Two worlds differ in all addresses. What others can see of a run, the same program on the same numbers, is the same in
/// both, or an address, or something that nobody wrote, got out.
final class FuzzWorld {
    private let context = Block(7 * 8)
    private let cookie = Block(8)
    private let bss = Block(32)
    private let rodata: Block
    private let hashValue = Block(16)
    private let arrayValues = (0..<4).map { _ in Block(24) }
    private let threadValues = (0..<2).map { _ in Block(16) }
    private let key = Block(4)
    private var records: [Block] = []
    private var generator = SeededGenerator(seed: 0)
    /// What the stack holds before it is written.
    private let stackFill: UInt64
    private var setting = Setting()
    private var seen: [UInt64] = []

    /// What a run finds.
    struct Setting {
        /// Programs of the array `programs`, by slot.
        var programs: [Int: Interpreter] = [:]
        /// No more of the context is there than the program is said to need.
        var needs = ContextNeeds(bytes: 56, usesCookie: true)
        var seed: UInt64 = 0
    }

    enum Outcome: Equatable {
        case harm(String)
        /// What others can see of it.
        case ended([UInt64])
        /// It goes on for longer than is worth looking at.
        case long
    }

    /// What no memory is: maps as helpers know them.
    private let mapHandle: UInt64
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
        var words: [UInt64] { (0..<count / 8).map { inner.loadUnaligned(fromByteOffset: $0 * 8, as: UInt64.self) } }
        deinit { bytes.deallocate() }
    }

    init(other: Bool = false) {
        let contents = FuzzProgram.maps[Int(FuzzProgram.MapNumber.constants)].initialContents ?? []
        rodata = Block(contents.count)
        rodata.inner.copyBytes(from: contents)
        stackFill = other ? 0x5a5a_5a5a_5a5a_5a5a : 0xa5a5_a5a5_a5a5_a5a5
        mapHandle = other ? 0xf3f3_0000_0000_0000 : 0xf5f5_0000_0000_0000
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
                case .map: value = mapHandle + UInt64(UInt32(bitPattern: instruction.immediate))
                case .mapValue:
                    let block = instruction.immediate == FuzzProgram.MapNumber.variables ? bss : rodata
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

    private var mapBlocks: [Block] { [bss, hashValue] + arrayValues + threadValues }

    /// Runs the program on random memory.
    func run(_ interpreter: Interpreter, _ setting: Setting, observer: Interpreter.Observer? = nil) -> Outcome {
        self.setting = setting
        generator = SeededGenerator(seed: setting.seed)
        records = []
        seen = []
        for block in [context, cookie] + mapBlocks {
            for word in 0..<block.count / 8 {
                block.inner.storeBytes(of: generator.number(), toByteOffset: word * 8, as: UInt64.self)
            }
        }
        let readable = UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(context.inner)[..<min(setting.needs.bytes, context.count)])
        var memory =
            [
                MemoryRegion(readable), MemoryRegion(UnsafeRawBufferPointer(rodata.inner)),
                MemoryRegion(UnsafeRawBufferPointer(key.inner)),
            ] + mapBlocks.map { MemoryRegion($0.inner) }
        if setting.needs.usesCookie { memory.append(MemoryRegion(cookie.inner)) }
        let result: UInt64
        do throws(InterpreterError) {
            result = try interpreter.run(
                context: context.address, memory: memory, stackFill: stackFill,
                helpers: { call throws(InterpreterError) in try self.answer(call) }, observer: observer)
        } catch .instructionLimit {
            return .long
        } catch .tooManyFrames where !setting.programs.isEmpty && seen.contains(UInt64(Helper.tailCall.rawValue)) {
            // Tail calls from functions leave more frames than the interpreter has.
            return .long
        } catch {
            return .harm("\(error)")
        }
        if result != 0 { return .harm("it returned \(result)") }
        if !records.isEmpty { return .harm("it kept \(records.count) records") }
        return .ended(seen + ([cookie] + mapBlocks).flatMap(\.words))
    }

    private func answer(_ call: HelperCall) throws(InterpreterError) -> UInt64 {
        seen.append(UInt64(call.id))
        let result = try result(call)
        switch call.id {
        // Addresses.
        case Self.kfuncs + 1, Helper.mapLookupElem.rawValue, Helper.mapLookupPercpuElem.rawValue, Helper.ringbufReserve.rawValue:
            seen.append(result == 0 ? 0 : 1)
        default: seen.append(result)
        }
        return result
    }

    private func require(
        _ call: HelperCall, _ address: UInt64, _ count: UInt64, isWrite: Bool = false
    ) throws(InterpreterError) {
        guard count <= 1 << 29, count == 0 || call.permits(address: address, byteCount: Int(count), isWrite: isWrite)
        else { throw .helper("helper \(call.id) is handed \(count) bytes at 0x\(String(address, radix: 16))") }
    }

    /// Bytes that a helper keeps: others can see them.
    private func keep(_ call: HelperCall, _ address: UInt64, _ count: UInt64) throws(InterpreterError) {
        try require(call, address, count)
        guard let pointer = UnsafeRawPointer(bitPattern: UInt(address)) else { return }
        for index in 0..<Int(count) { seen.append(UInt64(pointer.load(fromByteOffset: index, as: UInt8.self))) }
    }

    /// Bytes that a helper writes, all of them: what is there now does not matter.
    private func fill(_ call: HelperCall, _ address: UInt64, _ count: UInt64, of total: UInt64? = nil) throws(InterpreterError) {
        try require(call, address, total ?? count, isWrite: true)
        guard let pointer = UnsafeMutableRawPointer(bitPattern: UInt(address)) else { return }
        for index in 0..<Int(count) { pointer.storeBytes(of: UInt8(generator.below(256)), toByteOffset: index, as: UInt8.self) }
    }

    /// As many bytes as a string has that fits: one at least.
    private func fillText(_ call: HelperCall, _ address: UInt64, _ size: UInt64) throws(InterpreterError) -> UInt64 {
        guard size > 0 else { return 0 }
        let count = 1 + UInt64(generator.below(Int(min(size, 1 << 20))))
        try fill(call, address, count, of: size)
        UnsafeMutableRawPointer(bitPattern: UInt(address + count - 1))?.storeBytes(of: 0, as: UInt8.self)
        return count
    }

    private func map(_ call: HelperCall, _ handle: UInt64, _ numbers: Int32...) throws(InterpreterError) -> Int {
        guard handle >= mapHandle, handle < mapHandle + UInt64(FuzzProgram.maps.count),
            numbers.isEmpty || numbers.contains(Int32(handle - mapHandle))
        else { throw .helper("helper \(call.id) is handed no map, or one of another kind") }
        return Int(handle - mapHandle)
    }

    private func requireContext(_ call: HelperCall, _ address: UInt64) throws(InterpreterError) {
        guard address == context.address else { throw .helper("helper \(call.id) is handed no context") }
    }

    private func number(_ address: UInt64) -> UInt32 {
        UnsafeRawPointer(bitPattern: UInt(address))?.loadUnaligned(as: UInt32.self) ?? 0
    }

    /// Up to the end of the first string, or so many bytes.
    private func strncmp(_ one: UInt64, _ size: UInt64, _ other: UInt64) -> UInt64 {
        for index in 0..<size {
            let (left, right) = (number(one + index) & 0xff, number(other + index) & 0xff)
            if left != right { return left < right ? .max : 1 }
            if left == 0 { break }
        }
        return 0
    }

    private func result(_ call: HelperCall) throws(InterpreterError) -> UInt64 {
        switch call.id {
        case Self.kfuncs, Self.kfuncs + 1:
            try requireContext(call, call.r1)
            if call.id == Self.kfuncs { return UInt64(generator.below(2)) }
            guard setting.needs.usesCookie else { throw .helper("a cookie is asked for, and there is none") }
            return cookie.address
        case Helper.mapLookupElem.rawValue:
            let map = try map(call, call.r1)
            try require(call, call.r2, 4)
            let key = number(call.r2)
            seen.append(UInt64(key))
            if map == 0 { return generator.chance(60) ? hashValue.address : 0 }
            // All elements of arrays are there.
            guard key < FuzzProgram.maps[map].maxEntries else { return 0 }
            switch Int32(map) {
            case 1: return arrayValues[Int(key)].address
            case FuzzProgram.MapNumber.variables: return bss.address
            case FuzzProgram.MapNumber.constants: return rodata.address
            case FuzzProgram.MapNumber.perThread: return threadValues[Int(key)].address
            default: throw .helper("lookup in map \(map)")
            }
        case Helper.mapUpdateElem.rawValue:
            let map = try map(call, call.r1)
            guard FuzzProgram.maps[map].keySize == 4 else { throw .helper("update of map \(map)") }
            try keep(call, call.r2, 4)
            try keep(call, call.r3, UInt64(FuzzProgram.maps[map].valueSize))
            seen.append(call.r4)
            return 0
        case Helper.mapDeleteElem.rawValue:
            _ = try map(call, call.r1)
            try keep(call, call.r2, 4)
            return 0
        case Helper.mapPushElem.rawValue, Helper.mapPopElem.rawValue, Helper.mapPeekElem.rawValue:
            let map = try map(call, call.r1, FuzzProgram.MapNumber.queue, FuzzProgram.MapNumber.stack)
            let size = UInt64(FuzzProgram.maps[map].valueSize)
            if call.id == Helper.mapPushElem.rawValue {
                seen.append(call.r3)
                try keep(call, call.r2, size)
            } else {
                try fill(call, call.r2, size)
            }
            return generator.chance(70) ? 0 : 0 &- 2
        case Helper.ringbufReserve.rawValue:
            _ = try map(call, call.r1, FuzzProgram.MapNumber.ring)
            guard generator.chance(80), call.r2 <= 4096 else { return 0 }
            let record = Block(Int(call.r2))
            records.append(record)
            call.add(MemoryRegion(record.inner))
            return record.address
        case Helper.ringbufSubmit.rawValue, Helper.ringbufDiscard.rawValue:
            guard let index = records.firstIndex(where: { $0.address == call.r1 }) else {
                throw .helper("submits what is no record")
            }
            seen += records[index].words
            call.remove(MemoryRegion(records[index].inner))
            records.remove(at: index)
            return 0
        case Helper.ringbufOutput.rawValue:
            _ = try map(call, call.r1, FuzzProgram.MapNumber.ring)
            seen += [call.r3, call.r4]
            try keep(call, call.r2, call.r3)
            return 0
        case Helper.ringbufQuery.rawValue:
            _ = try map(call, call.r1, FuzzProgram.MapNumber.ring)
            seen.append(call.r2)
            return generator.number()
        case Helper.perfEventOutput.rawValue:
            try requireContext(call, call.r1)
            _ = try map(call, call.r2, FuzzProgram.MapNumber.perf)
            seen += [call.r3, call.r5]
            try keep(call, call.r4, call.r5)
            return 0
        case Helper.probeRead.rawValue, Helper.probeReadUser.rawValue, Helper.probeReadKernel.rawValue,
            Helper.copyFromUser.rawValue:
            seen.append(call.r2)
            try fill(call, call.r1, call.r2)
            return generator.chance(70) ? 0 : 0 &- 14
        case Helper.probeReadStr.rawValue, Helper.probeReadUserStr.rawValue, Helper.probeReadKernelStr.rawValue:
            seen.append(call.r2)
            return try fillText(call, call.r1, call.r2)
        case Helper.probeWriteUser.rawValue:
            seen += [call.r1, call.r3]
            try keep(call, call.r2, call.r3)
            return 0
        case Helper.getCurrentComm.rawValue:
            try fill(call, call.r1, call.r2)
            return 0
        case Helper.snprintf.rawValue:
            // Text may tell of pointers.
            seen += [call.r2, call.r5]
            try require(call, call.r4, call.r5)
            try require(call, call.r1, call.r2, isWrite: true)
            // It may fail.
            if generator.chance(30) { return 0 &- 22 }
            if call.r1 != 0 || call.r2 != 0 { _ = try fillText(call, call.r1, call.r2) }
            return UInt64(generator.below(40))
        case Helper.strncmp.rawValue:
            seen.append(call.r2)
            try require(call, call.r1, call.r2)
            return strncmp(call.r1, call.r2, call.r3)
        case Helper.tracePrintk.rawValue: try require(call, call.r1, call.r2)
        case Helper.traceVprintk.rawValue:
            try require(call, call.r1, call.r2)
            try require(call, call.r3, call.r4)
        case Helper.getFuncArg.rawValue:
            try requireContext(call, call.r1)
            seen.append(call.r2)
            try fill(call, call.r3, 8)
            return call.r2 < 6 ? 0 : 0 &- 22
        case Helper.getFuncRet.rawValue:
            try requireContext(call, call.r1)
            try fill(call, call.r2, 8)
        case Helper.getStack.rawValue:
            try requireContext(call, call.r1)
            seen += [call.r3, call.r4]
            try fill(call, call.r2, call.r3)
            return call.r3 / 8 * 8
        case Helper.getFuncIp.rawValue, Helper.getAttachCookie.rawValue:
            try requireContext(call, call.r1)
            return generator.number()
        case Helper.getFuncArgCnt.rawValue:
            try requireContext(call, call.r1)
            return UInt64(generator.below(256))
        case Helper.tailCall.rawValue:
            try requireContext(call, call.r1)
            _ = try map(call, call.r2, FuzzProgram.MapNumber.programs)
            let index = call.r3 & 0xffff_ffff
            seen.append(index)
            if let program = setting.programs[Int(index)] { call.tailCall(to: program) }
        case Helper.loop.rawValue:
            seen += [call.r1, call.r4]
            guard call.r4 == 0, call.r1 & 0xffff_ffff <= 1 << 23 else { return 0 &- 22 }
            // Enough to see what a round does.
            let rounds = min(call.r1 & 0xffff_ffff, 200)
            for index in 0..<rounds {
                if try call.callBack(call.r2, index, call.r3) != 0 { return index + 1 }
            }
            return call.r1 & 0xffff_ffff
        case Helper.forEachMapElem.rawValue:
            let map = try map(call, call.r1, 0, 1, 2, 3, FuzzProgram.MapNumber.perThread)
            seen.append(call.r4)
            guard call.r4 == 0 else { return 0 &- 22 }
            let values = [[hashValue], arrayValues, [bss], [rodata], threadValues][min(map, 4)]
            for (index, value) in values.enumerated() {
                key.inner.storeBytes(of: map == 0 ? UInt32(truncatingIfNeeded: generator.number()) : UInt32(index), as: UInt32.self)
                if try call.callBack(call.r2, call.r1, key.address, value.address, call.r3) != 0 { return UInt64(index) + 1 }
            }
            return UInt64(values.count)
        case Helper.getPrandomU32.rawValue: return generator.number() & 0xffff_ffff
        case Helper.getSmpProcessorId.rawValue: return UInt64(generator.below(4096))
        case Helper.getNumaNodeId.rawValue: return UInt64(generator.below(1 << 20))
        case Helper.mapLookupPercpuElem.rawValue:
            _ = try map(call, call.r1, FuzzProgram.MapNumber.perThread)
            try require(call, call.r2, 4)
            seen.append(call.r3)
            let key = number(call.r2)
            seen.append(UInt64(key))
            return key < 2 && call.r3 < 64 ? threadValues[Int(key)].address : 0
        case Helper.ktimeGetCoarseNs.rawValue, Helper.ktimeGetTaiNs.rawValue, Helper.ktimeGetNs.rawValue, Helper.jiffies64.rawValue,
            Helper.getCurrentPidTgid.rawValue,
            Helper.ktimeGetBootNs.rawValue, Helper.getCurrentUidGid.rawValue:
            return generator.number()
        default: throw .unknownHelper(call.id)
        }
        return 0
    }
}
