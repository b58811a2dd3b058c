import BPF

/// Helpers that are a few loads from ctx: written as instructions, as the kernel's verifier does, so that a program
/// calls nothing and the trampoline keeps only the registers that it changes.
///
/// r1 is ctx; r0 to r5 may change. What they mean is `helpers.h` of TargetRuntime.
enum InlinedHelper {
    static func instructions(_ helper: UInt32) -> [Instruction]? {
        switch Helper(rawValue: helper) {
        case .getFuncIp: [.load(.functionIP, into: .r0, context: .r1)]
        case .getAttachCookie: [.load(.attachCookie, into: .r0, context: .r1)]
        case .getFuncArgCnt: [.load(.metadata, into: .r0, context: .r1), .and(.r0, ContextLayout.countMask)]
        // *(u64 *)r2 = ctx[number of arguments]
        case .getFuncRet:
            [
                .load(.metadata, into: .r0, context: .r1),
                .and(.r0, ContextLayout.countMask),
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
