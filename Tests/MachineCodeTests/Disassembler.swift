import CCapstone
import MachineCode

/// The instructions in `code` as Capstone reads them, an independent reader of what the assembler wrote.
func disassemble(_ code: [UInt8], at address: UInt64 = 0) -> [String] {
    var handle: csh = 0
    guard cs_open(CS_ARCH_X86, CS_MODE_64, &handle) == CS_ERR_OK else { return ["capstone does not open"] }
    defer { cs_close(&handle) }
    var instructions: UnsafeMutablePointer<cs_insn>?
    let count = cs_disasm(handle, code, code.count, address, 0, &instructions)
    guard let instructions else { return ["capstone reads nothing"] }
    defer { cs_free(instructions, count) }
    var result: [String] = []
    var size = 0
    for index in 0..<count {
        size += Int(instructions[index].size)
        let mnemonic = text(instructions[index].mnemonic)
        let operands = text(instructions[index].op_str)
        result.append(operands.isEmpty ? mnemonic : "\(mnemonic) \(operands)")
    }
    if size != code.count { result.append("not read to the end") }
    return result
}

/// What `body` assembles, disassembled.
func assembled(at address: UInt64 = 0, _ body: (inout X86_64Assembler) -> Void) throws -> [String] {
    var assembler = X86_64Assembler()
    body(&assembler)
    return disassemble(try assembler.finish(at: address), at: address)
}

private func text<Tuple>(_ tuple: Tuple) -> String {
    withUnsafeBytes(of: tuple) { bytes in
        String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
    }
}
