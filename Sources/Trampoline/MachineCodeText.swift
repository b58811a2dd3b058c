import CCapstone
import MachineCode

/// Machine code as text, by Capstone.
package enum MachineCodeText {
    package struct Line: Sendable {
        package var address: UInt64
        /// Address and instruction.
        package var text: String
        /// Where a direct call or jump goes.
        package var target: UInt64?
        /// Where a call through a register goes that the instruction before has loaded.
        package var farTarget: UInt64?
        /// Breakpoint bytes behind the code's end.
        package var isPadding: Bool
    }

    /// An instruction as Capstone has it.
    struct Instruction {
        var name: String
        var operands: String

        /// Its operand, or the last one, where that is an address.
        var address: UInt64? {
            operands.split(separator: " ").last.flatMap { $0.hasPrefix("0x") ? UInt64($0.dropFirst(2), radix: 16) : nil }
        }
    }

    /// The instructions of `code`. Bytes that are none are shown as such.
    package static func lines(_ code: [UInt8], at address: UInt64) -> [Line] {
        var handle: csh = 0
        guard cs_open(Architecture.capstoneArchitecture, Architecture.capstoneMode, &handle) == CS_ERR_OK else { return [] }
        defer { cs_close(&handle) }
        cs_option(handle, CS_OPT_SKIPDATA, Int(CS_OPT_ON.rawValue))
        var instructions: UnsafeMutablePointer<cs_insn>?
        let count = code.withUnsafeBytes { bytes in
            cs_disasm(
                handle, bytes.baseAddress?.assumingMemoryBound(to: UInt8.self), bytes.count, address, 0, &instructions)
        }
        guard let instructions, count > 0 else { return [] }
        defer { cs_free(instructions, count) }
        var before: Instruction?
        return (0..<count).map { index in
            let instruction = Instruction(name: string(instructions[index].mnemonic), operands: string(instructions[index].op_str))
            defer { before = instruction }
            let address = instructions[index].address
            return Line(
                address: address,
                text: "  \(String(address, radix: 16))  \(instruction.name)\(instruction.operands.isEmpty ? "" : " ")\(instruction.operands)",
                target: Architecture.isBranch(instruction) ? instruction.address : nil,
                farTarget: before.flatMap { Architecture.farTarget(of: instruction, behind: $0) },
                isPadding: Architecture.isPadding(instruction))
        }
    }

    private static func string(_ tuple: some Any) -> String {
        withUnsafeBytes(of: tuple) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    }
}

/// How Capstone shows the code of an architecture.
protocol CodeText {
    static var capstoneArchitecture: cs_arch { get }
    static var capstoneMode: cs_mode { get }
    /// A direct jump or call.
    static func isBranch(_ instruction: MachineCodeText.Instruction) -> Bool
    /// Where a call through a register goes, if the instruction before loads the register.
    static func farTarget(of call: MachineCodeText.Instruction, behind load: MachineCodeText.Instruction) -> UInt64?
    /// What lies behind the end of code.
    static func isPadding(_ instruction: MachineCodeText.Instruction) -> Bool
}
