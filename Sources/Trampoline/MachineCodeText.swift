import CCapstone

/// Machine code as text, by Capstone.
package enum MachineCodeText {
    package struct Line: Sendable {
        package var address: UInt64
        /// Address and instruction.
        package var text: String
        /// Where a direct call or jump goes.
        package var target: UInt64?
        /// Breakpoint bytes behind the code's end.
        package var isPadding: Bool
    }

    /// The instructions of `code`, x86-64 in Intel's syntax. Bytes that are none are shown as such.
    package static func lines(_ code: [UInt8], at address: UInt64) -> [Line] {
        var handle: csh = 0
        guard cs_open(CS_ARCH_X86, CS_MODE_64, &handle) == CS_ERR_OK else { return [] }
        defer { cs_close(&handle) }
        cs_option(handle, CS_OPT_SKIPDATA, Int(CS_OPT_ON.rawValue))
        var instructions: UnsafeMutablePointer<cs_insn>?
        let count = code.withUnsafeBytes { bytes in
            cs_disasm(
                handle, bytes.baseAddress?.assumingMemoryBound(to: UInt8.self), bytes.count, address, 0, &instructions)
        }
        guard let instructions, count > 0 else { return [] }
        defer { cs_free(instructions, count) }
        return (0..<count).map { index in
            let instruction = instructions[index]
            let name = string(instruction.mnemonic)
            let operands = string(instruction.op_str)
            let isBranch = name == "call" || name.hasPrefix("j")
            return Line(
                address: instruction.address,
                text: "  \(String(instruction.address, radix: 16))  \(name)\(operands.isEmpty ? "" : " ")\(operands)",
                target: isBranch && operands.hasPrefix("0x") ? UInt64(operands.dropFirst(2), radix: 16) : nil,
                isPadding: name == "int3")
        }
    }

    private static func string(_ tuple: some Any) -> String {
        withUnsafeBytes(of: tuple) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    }
}
