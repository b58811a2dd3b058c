import LinuxProcess

/// Whether another fsession has patched functions of a module already. Where its code lies is looked up when some
/// function's entry jumps out of its module: seldom.
struct ForeignPatches {
    private let processID: Int32
    private let module: Range<UInt64>
    private var regions: [(range: Range<UInt64>, controller: Int32)]?

    init(in processID: Int32, module: Range<UInt64>) {
        self.processID = processID
        self.module = module
    }

    /// Why a function cannot be traced, if another fsession has it.
    mutating func patch(
        at address: UInt64, _ analysis: ModuleAnalysis, _ memory: borrowing ProcessMemory, isOurs: (UInt64) -> Bool
    ) -> String? {
        guard let target = analysis.entryTarget(at: address), !module.contains(target) else { return nil }
        if regions == nil {
            // What jumps to nobody's code is the function that a left session's frames are found by: one more link is built
            // on top of that.
            regions = ForeignCode.regions(in: processID, memory).filter { $0.controller != 0 && !isOurs($0.range.lowerBound) }
        }
        return regions?.first { $0.range.contains(target) }.map {
            "it is traced by another fsession (process \($0.controller)); end that one first"
        }
    }
}
