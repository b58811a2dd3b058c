import BPF

/// Helpers that are a few loads from ctx: written as instructions, as the kernel's verifier does, so that a program
/// calls nothing and the trampoline keeps only the registers that it changes.
///
/// r1 is ctx; r0 to r5 may change. What they mean is `helpers.h` of TargetRuntime.
enum InlinedHelper {
    static func instructions(_ helper: UInt32) -> [Instruction]? {
        switch Helper(rawValue: helper) {
        case .getFuncIp: [.load(.u64, into: .r0, from: .r1, offset: -16)]
        case .getAttachCookie: [.load(.u64, into: .r0, from: .r1, offset: -24)]
        case .getFuncArgCnt: [.load(.u64, into: .r0, from: .r1, offset: -8), .and(.r0, 0xff)]
        // *(u64 *)r2 = ctx[number of arguments]
        case .getFuncRet:
            [
                .load(.u64, into: .r0, from: .r1, offset: -8),
                .and(.r0, 0xff),
                .shiftLeft(.r0, 3),
                .add(.r0, .r1),
                .load(.u64, into: .r0, from: .r0, offset: 0),
                .store(.u64, .r0, to: .r2, offset: 0),
                .move(.r0, 0),
            ]
        default: nil
        }
    }
}
