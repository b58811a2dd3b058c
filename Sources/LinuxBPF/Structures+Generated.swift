// Made by generate-linux-bpf from the types of Linux 7.2. `make linux-bpf` makes it anew; change Tools/GenerateLinuxBPF instead.
// swift-format-ignore-file

/// the part of `union bpf_attr` with `map_type`: `BPF_MAP_CREATE`.
package struct MapCreate: BPFAttributes {
    package static let size = 96
    package var bytes = [UInt8](repeating: 0, count: size)
    package init() {}
    package var mapType: UInt32 { get { self[0] } set { self[0] = newValue } }
    package var keySize: UInt32 { get { self[4] } set { self[4] = newValue } }
    package var valueSize: UInt32 { get { self[8] } set { self[8] = newValue } }
    package var maxEntries: UInt32 { get { self[12] } set { self[12] = newValue } }
    package var mapFlags: UInt32 { get { self[16] } set { self[16] = newValue } }
    package var innerMapFd: Int32 { get { self[20] } set { self[20] = newValue } }
    package var numaNode: UInt32 { get { self[24] } set { self[24] = newValue } }
    package var mapName: String { get { self[name: 28, 16] } set { self[name: 28, 16] = newValue } }
    package var mapIfindex: UInt32 { get { self[44] } set { self[44] = newValue } }
    package var btfFd: Int32 { get { self[48] } set { self[48] = newValue } }
    package var btfKeyTypeId: UInt32 { get { self[52] } set { self[52] = newValue } }
    package var btfValueTypeId: UInt32 { get { self[56] } set { self[56] = newValue } }
    package var btfVmlinuxValueTypeId: UInt32 { get { self[60] } set { self[60] = newValue } }
    package var mapExtra: UInt64 { get { self[64] } set { self[64] = newValue } }
    package var valueTypeBtfObjFd: Int32 { get { self[72] } set { self[72] = newValue } }
    package var mapTokenFd: Int32 { get { self[76] } set { self[76] = newValue } }
    package var exclProgHash: UInt64 { get { self[80] } set { self[80] = newValue } }
    package var exclProgHashSize: UInt32 { get { self[88] } set { self[88] = newValue } }
}

/// the part of `union bpf_attr` with `key`: `BPF_MAP_LOOKUP_ELEM` and all else that is done to elements, `BPF_MAP_FREEZE`.
package struct MapElement: BPFAttributes {
    package static let size = 32
    package var bytes = [UInt8](repeating: 0, count: size)
    package init() {}
    package var mapFd: Int32 { get { self[0] } set { self[0] = newValue } }
    package var key: UInt64 { get { self[8] } set { self[8] = newValue } }
    package var value: UInt64 { get { self[16] } set { self[16] = newValue } }
    package var nextKey: UInt64 { get { self[16] } set { self[16] = newValue } }
    package var flags: UInt64 { get { self[24] } set { self[24] = newValue } }
}

/// the part of `union bpf_attr` with `prog_type`: `BPF_PROG_LOAD`.
package struct ProgramLoad: BPFAttributes {
    package static let size = 168
    package var bytes = [UInt8](repeating: 0, count: size)
    package init() {}
    package var progType: UInt32 { get { self[0] } set { self[0] = newValue } }
    package var insnCnt: UInt32 { get { self[4] } set { self[4] = newValue } }
    package var insns: UInt64 { get { self[8] } set { self[8] = newValue } }
    package var license: UInt64 { get { self[16] } set { self[16] = newValue } }
    package var logLevel: UInt32 { get { self[24] } set { self[24] = newValue } }
    package var logSize: UInt32 { get { self[28] } set { self[28] = newValue } }
    package var logBuf: UInt64 { get { self[32] } set { self[32] = newValue } }
    package var kernVersion: UInt32 { get { self[40] } set { self[40] = newValue } }
    package var progFlags: UInt32 { get { self[44] } set { self[44] = newValue } }
    package var progName: String { get { self[name: 48, 16] } set { self[name: 48, 16] = newValue } }
    package var progIfindex: UInt32 { get { self[64] } set { self[64] = newValue } }
    package var expectedAttachType: UInt32 { get { self[68] } set { self[68] = newValue } }
    package var progBtfFd: Int32 { get { self[72] } set { self[72] = newValue } }
    package var funcInfoRecSize: UInt32 { get { self[76] } set { self[76] = newValue } }
    package var funcInfo: UInt64 { get { self[80] } set { self[80] = newValue } }
    package var funcInfoCnt: UInt32 { get { self[88] } set { self[88] = newValue } }
    package var lineInfoRecSize: UInt32 { get { self[92] } set { self[92] = newValue } }
    package var lineInfo: UInt64 { get { self[96] } set { self[96] = newValue } }
    package var lineInfoCnt: UInt32 { get { self[104] } set { self[104] = newValue } }
    package var attachBtfId: UInt32 { get { self[108] } set { self[108] = newValue } }
    package var attachProgFd: Int32 { get { self[112] } set { self[112] = newValue } }
    package var attachBtfObjFd: Int32 { get { self[112] } set { self[112] = newValue } }
    package var coreReloCnt: UInt32 { get { self[116] } set { self[116] = newValue } }
    package var fdArray: UInt64 { get { self[120] } set { self[120] = newValue } }
    package var coreRelos: UInt64 { get { self[128] } set { self[128] = newValue } }
    package var coreReloRecSize: UInt32 { get { self[136] } set { self[136] = newValue } }
    package var logTrueSize: UInt32 { get { self[140] } set { self[140] = newValue } }
    package var progTokenFd: Int32 { get { self[144] } set { self[144] = newValue } }
    package var fdArrayCnt: UInt32 { get { self[148] } set { self[148] = newValue } }
    package var signature: UInt64 { get { self[152] } set { self[152] = newValue } }
    package var signatureSize: UInt32 { get { self[160] } set { self[160] = newValue } }
    package var keyringId: Int32 { get { self[164] } set { self[164] = newValue } }
}

/// the part of `union bpf_attr` with `pathname`: `BPF_OBJ_PIN`, `BPF_OBJ_GET`.
package struct ObjectPin: BPFAttributes {
    package static let size = 24
    package var bytes = [UInt8](repeating: 0, count: size)
    package init() {}
    package var pathname: UInt64 { get { self[0] } set { self[0] = newValue } }
    package var bpfFd: Int32 { get { self[8] } set { self[8] = newValue } }
    package var fileFlags: UInt32 { get { self[12] } set { self[12] = newValue } }
    package var pathFd: Int32 { get { self[16] } set { self[16] = newValue } }
}

/// `test` of `union bpf_attr`: `BPF_PROG_TEST_RUN`.
package struct ProgramTestRun: BPFAttributes {
    package static let size = 80
    package var bytes = [UInt8](repeating: 0, count: size)
    package init() {}
    package var progFd: Int32 { get { self[0] } set { self[0] = newValue } }
    package var retval: UInt32 { get { self[4] } set { self[4] = newValue } }
    package var dataSizeIn: UInt32 { get { self[8] } set { self[8] = newValue } }
    package var dataSizeOut: UInt32 { get { self[12] } set { self[12] = newValue } }
    package var dataIn: UInt64 { get { self[16] } set { self[16] = newValue } }
    package var dataOut: UInt64 { get { self[24] } set { self[24] = newValue } }
    package var `repeat`: UInt32 { get { self[32] } set { self[32] = newValue } }
    package var duration: UInt32 { get { self[36] } set { self[36] = newValue } }
    package var ctxSizeIn: UInt32 { get { self[40] } set { self[40] = newValue } }
    package var ctxSizeOut: UInt32 { get { self[44] } set { self[44] = newValue } }
    package var ctxIn: UInt64 { get { self[48] } set { self[48] = newValue } }
    package var ctxOut: UInt64 { get { self[56] } set { self[56] = newValue } }
    package var flags: UInt32 { get { self[64] } set { self[64] = newValue } }
    package var cpu: UInt32 { get { self[68] } set { self[68] = newValue } }
    package var batchSize: UInt32 { get { self[72] } set { self[72] = newValue } }
}

/// the part of `union bpf_attr` with `next_id`: `BPF_PROG_GET_NEXT_ID`, `BPF_PROG_GET_FD_BY_ID` and those of maps, BTF and links.
package struct ObjectByID: BPFAttributes {
    package static let size = 16
    package var bytes = [UInt8](repeating: 0, count: size)
    package init() {}
    package var startId: UInt32 { get { self[0] } set { self[0] = newValue } }
    package var progId: UInt32 { get { self[0] } set { self[0] = newValue } }
    package var mapId: UInt32 { get { self[0] } set { self[0] = newValue } }
    package var btfId: UInt32 { get { self[0] } set { self[0] = newValue } }
    package var linkId: UInt32 { get { self[0] } set { self[0] = newValue } }
    package var nextId: UInt32 { get { self[4] } set { self[4] = newValue } }
    package var openFlags: UInt32 { get { self[8] } set { self[8] = newValue } }
    package var fdByIdTokenFd: Int32 { get { self[12] } set { self[12] = newValue } }
}

/// `info` of `union bpf_attr`: `BPF_OBJ_GET_INFO_BY_FD`.
package struct ObjectGetInfo: BPFAttributes {
    package static let size = 16
    package var bytes = [UInt8](repeating: 0, count: size)
    package init() {}
    package var bpfFd: Int32 { get { self[0] } set { self[0] = newValue } }
    package var infoLen: UInt32 { get { self[4] } set { self[4] = newValue } }
    package var info: UInt64 { get { self[8] } set { self[8] = newValue } }
}

/// `raw_tracepoint` of `union bpf_attr`: `BPF_RAW_TRACEPOINT_OPEN`.
package struct RawTracepointOpen: BPFAttributes {
    package static let size = 24
    package var bytes = [UInt8](repeating: 0, count: size)
    package init() {}
    package var name: UInt64 { get { self[0] } set { self[0] = newValue } }
    package var progFd: Int32 { get { self[8] } set { self[8] = newValue } }
    package var cookie: UInt64 { get { self[16] } set { self[16] = newValue } }
}

/// the part of `union bpf_attr` with `btf_log_buf`: `BPF_BTF_LOAD`.
package struct BTFLoad: BPFAttributes {
    package static let size = 40
    package var bytes = [UInt8](repeating: 0, count: size)
    package init() {}
    package var btf: UInt64 { get { self[0] } set { self[0] = newValue } }
    package var btfLogBuf: UInt64 { get { self[8] } set { self[8] = newValue } }
    package var btfSize: UInt32 { get { self[16] } set { self[16] = newValue } }
    package var btfLogSize: UInt32 { get { self[20] } set { self[20] = newValue } }
    package var btfLogLevel: UInt32 { get { self[24] } set { self[24] = newValue } }
    package var btfLogTrueSize: UInt32 { get { self[28] } set { self[28] = newValue } }
    package var btfFlags: UInt32 { get { self[32] } set { self[32] = newValue } }
    package var btfTokenFd: Int32 { get { self[36] } set { self[36] = newValue } }
}

/// `link_create` of `union bpf_attr`: `BPF_LINK_CREATE`, with what is particular to each sort of link.
package struct LinkCreate: BPFAttributes {
    package static let size = 64
    package var bytes = [UInt8](repeating: 0, count: size)
    package init() {}
    package var progFd: Int32 { get { self[0] } set { self[0] = newValue } }
    package var mapFd: Int32 { get { self[0] } set { self[0] = newValue } }
    package var targetFd: Int32 { get { self[4] } set { self[4] = newValue } }
    package var targetIfindex: UInt32 { get { self[4] } set { self[4] = newValue } }
    package var attachType: UInt32 { get { self[8] } set { self[8] = newValue } }
    package var flags: UInt32 { get { self[12] } set { self[12] = newValue } }
    package var targetBtfId: UInt32 { get { self[16] } set { self[16] = newValue } }
    package var iterInfo: UInt64 { get { self[16] } set { self[16] = newValue } }
    package var iterInfoLen: UInt32 { get { self[24] } set { self[24] = newValue } }
    package var perfEventBpfCookie: UInt64 { get { self[16] } set { self[16] = newValue } }
    package var kprobeMultiFlags: UInt32 { get { self[16] } set { self[16] = newValue } }
    package var kprobeMultiCnt: UInt32 { get { self[20] } set { self[20] = newValue } }
    package var kprobeMultiSyms: UInt64 { get { self[24] } set { self[24] = newValue } }
    package var kprobeMultiAddrs: UInt64 { get { self[32] } set { self[32] = newValue } }
    package var kprobeMultiCookies: UInt64 { get { self[40] } set { self[40] = newValue } }
    package var tracingTargetBtfId: UInt32 { get { self[16] } set { self[16] = newValue } }
    package var tracingCookie: UInt64 { get { self[24] } set { self[24] = newValue } }
    package var netfilterPf: UInt32 { get { self[16] } set { self[16] = newValue } }
    package var netfilterHooknum: UInt32 { get { self[20] } set { self[20] = newValue } }
    package var netfilterPriority: Int32 { get { self[24] } set { self[24] = newValue } }
    package var netfilterFlags: UInt32 { get { self[28] } set { self[28] = newValue } }
    package var tcxRelativeFd: Int32 { get { self[16] } set { self[16] = newValue } }
    package var tcxRelativeId: UInt32 { get { self[16] } set { self[16] = newValue } }
    package var tcxExpectedRevision: UInt64 { get { self[24] } set { self[24] = newValue } }
    package var uprobeMultiPath: UInt64 { get { self[16] } set { self[16] = newValue } }
    package var uprobeMultiOffsets: UInt64 { get { self[24] } set { self[24] = newValue } }
    package var uprobeMultiRefCtrOffsets: UInt64 { get { self[32] } set { self[32] = newValue } }
    package var uprobeMultiCookies: UInt64 { get { self[40] } set { self[40] = newValue } }
    package var uprobeMultiCnt: UInt32 { get { self[48] } set { self[48] = newValue } }
    package var uprobeMultiFlags: UInt32 { get { self[52] } set { self[52] = newValue } }
    package var uprobeMultiPid: UInt32 { get { self[56] } set { self[56] = newValue } }
    package var uprobeMultiPathFd: Int32 { get { self[60] } set { self[60] = newValue } }
    package var netkitRelativeFd: Int32 { get { self[16] } set { self[16] = newValue } }
    package var netkitRelativeId: UInt32 { get { self[16] } set { self[16] = newValue } }
    package var netkitExpectedRevision: UInt64 { get { self[24] } set { self[24] = newValue } }
    package var cgroupRelativeFd: Int32 { get { self[16] } set { self[16] = newValue } }
    package var cgroupRelativeId: UInt32 { get { self[16] } set { self[16] = newValue } }
    package var cgroupExpectedRevision: UInt64 { get { self[24] } set { self[24] = newValue } }
    package var tracingMultiIds: UInt64 { get { self[16] } set { self[16] = newValue } }
    package var tracingMultiCookies: UInt64 { get { self[24] } set { self[24] = newValue } }
    package var tracingMultiCnt: UInt32 { get { self[32] } set { self[32] = newValue } }
}

/// `iter_create` of `union bpf_attr`: `BPF_ITER_CREATE`.
package struct IteratorCreate: BPFAttributes {
    package static let size = 8
    package var bytes = [UInt8](repeating: 0, count: size)
    package init() {}
    package var linkFd: Int32 { get { self[0] } set { self[0] = newValue } }
    package var flags: UInt32 { get { self[4] } set { self[4] = newValue } }
}

/// `struct bpf_common_attr`: what any command takes with `BPF_COMMON_ATTRS`.
package struct CommonAttributes: KernelStructure {
    package static let size = 24
    package var bytes = [UInt8](repeating: 0, count: size)
    package init() {}
    package var logBuf: UInt64 { get { self[0] } set { self[0] = newValue } }
    package var logSize: UInt32 { get { self[8] } set { self[8] = newValue } }
    package var logLevel: UInt32 { get { self[12] } set { self[12] = newValue } }
    package var logTrueSize: UInt32 { get { self[16] } set { self[16] = newValue } }
}

/// `union bpf_iter_link_info`: what an iterator goes over.
package struct IteratorLinkInfo: KernelStructure {
    package static let size = 16
    package var bytes = [UInt8](repeating: 0, count: size)
    package init() {}
    package var mapMapFd: Int32 { get { self[0] } set { self[0] = newValue } }
    package var cgroupOrder: UInt32 { get { self[0] } set { self[0] = newValue } }
    package var cgroupCgroupFd: Int32 { get { self[4] } set { self[4] = newValue } }
    package var cgroupCgroupId: UInt64 { get { self[8] } set { self[8] = newValue } }
    package var taskTid: UInt32 { get { self[0] } set { self[0] = newValue } }
    package var taskPid: UInt32 { get { self[4] } set { self[4] = newValue } }
    package var taskPidFd: Int32 { get { self[8] } set { self[8] = newValue } }
}

/// `struct bpf_prog_info`: a loaded program.
package struct ProgramInfo: KernelStructure {
    package static let size = 232
    package var bytes = [UInt8](repeating: 0, count: size)
    package init() {}
    package var type: UInt32 { get { self[0] } set { self[0] = newValue } }
    package var id: UInt32 { get { self[4] } set { self[4] = newValue } }
    package var jitedProgLen: UInt32 { get { self[16] } set { self[16] = newValue } }
    package var xlatedProgLen: UInt32 { get { self[20] } set { self[20] = newValue } }
    package var jitedProgInsns: UInt64 { get { self[24] } set { self[24] = newValue } }
    package var xlatedProgInsns: UInt64 { get { self[32] } set { self[32] = newValue } }
    package var loadTime: UInt64 { get { self[40] } set { self[40] = newValue } }
    package var createdByUid: UInt32 { get { self[48] } set { self[48] = newValue } }
    package var nrMapIds: UInt32 { get { self[52] } set { self[52] = newValue } }
    package var mapIds: UInt64 { get { self[56] } set { self[56] = newValue } }
    package var name: String { get { self[name: 64, 16] } set { self[name: 64, 16] = newValue } }
    package var ifindex: UInt32 { get { self[80] } set { self[80] = newValue } }
    package var gplCompatible: UInt64 { get { self[bits: 672, 1] } set { self[bits: 672, 1] = newValue } }
    package var netnsDev: UInt64 { get { self[88] } set { self[88] = newValue } }
    package var netnsIno: UInt64 { get { self[96] } set { self[96] = newValue } }
    package var nrJitedKsyms: UInt32 { get { self[104] } set { self[104] = newValue } }
    package var nrJitedFuncLens: UInt32 { get { self[108] } set { self[108] = newValue } }
    package var jitedKsyms: UInt64 { get { self[112] } set { self[112] = newValue } }
    package var jitedFuncLens: UInt64 { get { self[120] } set { self[120] = newValue } }
    package var btfId: UInt32 { get { self[128] } set { self[128] = newValue } }
    package var funcInfoRecSize: UInt32 { get { self[132] } set { self[132] = newValue } }
    package var funcInfo: UInt64 { get { self[136] } set { self[136] = newValue } }
    package var nrFuncInfo: UInt32 { get { self[144] } set { self[144] = newValue } }
    package var nrLineInfo: UInt32 { get { self[148] } set { self[148] = newValue } }
    package var lineInfo: UInt64 { get { self[152] } set { self[152] = newValue } }
    package var jitedLineInfo: UInt64 { get { self[160] } set { self[160] = newValue } }
    package var nrJitedLineInfo: UInt32 { get { self[168] } set { self[168] = newValue } }
    package var lineInfoRecSize: UInt32 { get { self[172] } set { self[172] = newValue } }
    package var jitedLineInfoRecSize: UInt32 { get { self[176] } set { self[176] = newValue } }
    package var nrProgTags: UInt32 { get { self[180] } set { self[180] = newValue } }
    package var progTags: UInt64 { get { self[184] } set { self[184] = newValue } }
    package var runTimeNs: UInt64 { get { self[192] } set { self[192] = newValue } }
    package var runCnt: UInt64 { get { self[200] } set { self[200] = newValue } }
    package var recursionMisses: UInt64 { get { self[208] } set { self[208] = newValue } }
    package var verifiedInsns: UInt32 { get { self[216] } set { self[216] = newValue } }
    package var attachBtfObjId: UInt32 { get { self[220] } set { self[220] = newValue } }
    package var attachBtfId: UInt32 { get { self[224] } set { self[224] = newValue } }
}

/// `struct bpf_func_info`: where a function of a program begins.
package struct ProgramFunctionInfo: KernelStructure {
    package static let size = 8
    package var bytes = [UInt8](repeating: 0, count: size)
    package init() {}
    package var insnOff: UInt32 { get { self[0] } set { self[0] = newValue } }
    package var typeId: UInt32 { get { self[4] } set { self[4] = newValue } }
}

/// `struct bpf_line_info`: where a source line of a program begins.
package struct ProgramLineInfo: KernelStructure {
    package static let size = 16
    package var bytes = [UInt8](repeating: 0, count: size)
    package init() {}
    package var insnOff: UInt32 { get { self[0] } set { self[0] = newValue } }
    package var fileNameOff: UInt32 { get { self[4] } set { self[4] = newValue } }
    package var lineOff: UInt32 { get { self[8] } set { self[8] = newValue } }
    package var lineCol: UInt32 { get { self[12] } set { self[12] = newValue } }
}

/// `struct bpf_map_info`: a map.
package struct MapInfo: KernelStructure {
    package static let size = 104
    package var bytes = [UInt8](repeating: 0, count: size)
    package init() {}
    package var type: UInt32 { get { self[0] } set { self[0] = newValue } }
    package var id: UInt32 { get { self[4] } set { self[4] = newValue } }
    package var keySize: UInt32 { get { self[8] } set { self[8] = newValue } }
    package var valueSize: UInt32 { get { self[12] } set { self[12] = newValue } }
    package var maxEntries: UInt32 { get { self[16] } set { self[16] = newValue } }
    package var mapFlags: UInt32 { get { self[20] } set { self[20] = newValue } }
    package var name: String { get { self[name: 24, 16] } set { self[name: 24, 16] = newValue } }
    package var ifindex: UInt32 { get { self[40] } set { self[40] = newValue } }
    package var btfVmlinuxValueTypeId: UInt32 { get { self[44] } set { self[44] = newValue } }
    package var netnsDev: UInt64 { get { self[48] } set { self[48] = newValue } }
    package var netnsIno: UInt64 { get { self[56] } set { self[56] = newValue } }
    package var btfId: UInt32 { get { self[64] } set { self[64] = newValue } }
    package var btfKeyTypeId: UInt32 { get { self[68] } set { self[68] = newValue } }
    package var btfValueTypeId: UInt32 { get { self[72] } set { self[72] = newValue } }
    package var btfVmlinuxId: UInt32 { get { self[76] } set { self[76] = newValue } }
    package var mapExtra: UInt64 { get { self[80] } set { self[80] = newValue } }
    package var hash: UInt64 { get { self[88] } set { self[88] = newValue } }
    package var hashSize: UInt32 { get { self[96] } set { self[96] = newValue } }
}

/// `struct bpf_link_info`: a link.
package struct LinkInfo: KernelStructure {
    package static let size = 64
    package var bytes = [UInt8](repeating: 0, count: size)
    package init() {}
    package var type: UInt32 { get { self[0] } set { self[0] = newValue } }
    package var id: UInt32 { get { self[4] } set { self[4] = newValue } }
    package var progId: UInt32 { get { self[8] } set { self[8] = newValue } }
    package var rawTracepointTpName: UInt64 { get { self[16] } set { self[16] = newValue } }
    package var rawTracepointTpNameLen: UInt32 { get { self[24] } set { self[24] = newValue } }
    package var rawTracepointCookie: UInt64 { get { self[32] } set { self[32] = newValue } }
    package var tracingAttachType: UInt32 { get { self[16] } set { self[16] = newValue } }
    package var tracingTargetObjId: UInt32 { get { self[20] } set { self[20] = newValue } }
    package var tracingTargetBtfId: UInt32 { get { self[24] } set { self[24] = newValue } }
    package var tracingCookie: UInt64 { get { self[32] } set { self[32] = newValue } }
    package var cgroupCgroupId: UInt64 { get { self[16] } set { self[16] = newValue } }
    package var cgroupAttachType: UInt32 { get { self[24] } set { self[24] = newValue } }
    package var iterTargetName: UInt64 { get { self[16] } set { self[16] = newValue } }
    package var iterTargetNameLen: UInt32 { get { self[24] } set { self[24] = newValue } }
    package var iterMapMapId: UInt32 { get { self[28] } set { self[28] = newValue } }
    package var iterCgroupCgroupId: UInt64 { get { self[32] } set { self[32] = newValue } }
    package var iterCgroupOrder: UInt32 { get { self[40] } set { self[40] = newValue } }
    package var iterTaskTid: UInt32 { get { self[32] } set { self[32] = newValue } }
    package var iterTaskPid: UInt32 { get { self[36] } set { self[36] = newValue } }
    package var netnsNetnsIno: UInt32 { get { self[16] } set { self[16] = newValue } }
    package var netnsAttachType: UInt32 { get { self[20] } set { self[20] = newValue } }
    package var xdpIfindex: UInt32 { get { self[16] } set { self[16] = newValue } }
    package var structOpsMapId: UInt32 { get { self[16] } set { self[16] = newValue } }
    package var netfilterPf: UInt32 { get { self[16] } set { self[16] = newValue } }
    package var netfilterHooknum: UInt32 { get { self[20] } set { self[20] = newValue } }
    package var netfilterPriority: Int32 { get { self[24] } set { self[24] = newValue } }
    package var netfilterFlags: UInt32 { get { self[28] } set { self[28] = newValue } }
    package var kprobeMultiAddrs: UInt64 { get { self[16] } set { self[16] = newValue } }
    package var kprobeMultiCount: UInt32 { get { self[24] } set { self[24] = newValue } }
    package var kprobeMultiFlags: UInt32 { get { self[28] } set { self[28] = newValue } }
    package var kprobeMultiMissed: UInt64 { get { self[32] } set { self[32] = newValue } }
    package var kprobeMultiCookies: UInt64 { get { self[40] } set { self[40] = newValue } }
    package var uprobeMultiPath: UInt64 { get { self[16] } set { self[16] = newValue } }
    package var uprobeMultiOffsets: UInt64 { get { self[24] } set { self[24] = newValue } }
    package var uprobeMultiRefCtrOffsets: UInt64 { get { self[32] } set { self[32] = newValue } }
    package var uprobeMultiCookies: UInt64 { get { self[40] } set { self[40] = newValue } }
    package var uprobeMultiPathSize: UInt32 { get { self[48] } set { self[48] = newValue } }
    package var uprobeMultiCount: UInt32 { get { self[52] } set { self[52] = newValue } }
    package var uprobeMultiFlags: UInt32 { get { self[56] } set { self[56] = newValue } }
    package var uprobeMultiPid: UInt32 { get { self[60] } set { self[60] = newValue } }
    package var perfEventType: UInt32 { get { self[16] } set { self[16] = newValue } }
    package var perfEventUprobeFileName: UInt64 { get { self[24] } set { self[24] = newValue } }
    package var perfEventUprobeNameLen: UInt32 { get { self[32] } set { self[32] = newValue } }
    package var perfEventUprobeOffset: UInt32 { get { self[36] } set { self[36] = newValue } }
    package var perfEventUprobeCookie: UInt64 { get { self[40] } set { self[40] = newValue } }
    package var perfEventUprobeRefCtrOffset: UInt64 { get { self[48] } set { self[48] = newValue } }
    package var perfEventKprobeFuncName: UInt64 { get { self[24] } set { self[24] = newValue } }
    package var perfEventKprobeNameLen: UInt32 { get { self[32] } set { self[32] = newValue } }
    package var perfEventKprobeOffset: UInt32 { get { self[36] } set { self[36] = newValue } }
    package var perfEventKprobeAddr: UInt64 { get { self[40] } set { self[40] = newValue } }
    package var perfEventKprobeMissed: UInt64 { get { self[48] } set { self[48] = newValue } }
    package var perfEventKprobeCookie: UInt64 { get { self[56] } set { self[56] = newValue } }
    package var perfEventTracepointTpName: UInt64 { get { self[24] } set { self[24] = newValue } }
    package var perfEventTracepointNameLen: UInt32 { get { self[32] } set { self[32] = newValue } }
    package var perfEventTracepointCookie: UInt64 { get { self[40] } set { self[40] = newValue } }
    package var perfEventEventConfig: UInt64 { get { self[24] } set { self[24] = newValue } }
    package var perfEventEventType: UInt32 { get { self[32] } set { self[32] = newValue } }
    package var perfEventEventCookie: UInt64 { get { self[40] } set { self[40] = newValue } }
    package var tcxIfindex: UInt32 { get { self[16] } set { self[16] = newValue } }
    package var tcxAttachType: UInt32 { get { self[20] } set { self[20] = newValue } }
    package var netkitIfindex: UInt32 { get { self[16] } set { self[16] = newValue } }
    package var netkitAttachType: UInt32 { get { self[20] } set { self[20] = newValue } }
    package var sockmapMapId: UInt32 { get { self[16] } set { self[16] = newValue } }
    package var sockmapAttachType: UInt32 { get { self[20] } set { self[20] = newValue } }
}

/// `struct bpf_btf_info`: loaded types.
package struct BTFInfo: KernelStructure {
    package static let size = 32
    package var bytes = [UInt8](repeating: 0, count: size)
    package init() {}
    package var btf: UInt64 { get { self[0] } set { self[0] = newValue } }
    package var btfSize: UInt32 { get { self[8] } set { self[8] = newValue } }
    package var id: UInt32 { get { self[12] } set { self[12] = newValue } }
    package var name: UInt64 { get { self[16] } set { self[16] = newValue } }
    package var nameLen: UInt32 { get { self[24] } set { self[24] = newValue } }
    package var kernelBtf: UInt32 { get { self[28] } set { self[28] = newValue } }
}

/// `struct perf_event_attr`: perf_event_open(2).
package struct PerfEventAttributes: KernelStructure {
    package static let size = 144
    package var bytes = [UInt8](repeating: 0, count: size)
    package init() {}
    package var type: UInt32 { get { self[0] } set { self[0] = newValue } }
    package var size: UInt32 { get { self[4] } set { self[4] = newValue } }
    package var config: UInt64 { get { self[8] } set { self[8] = newValue } }
    package var samplePeriod: UInt64 { get { self[16] } set { self[16] = newValue } }
    package var sampleFreq: UInt64 { get { self[16] } set { self[16] = newValue } }
    package var sampleType: UInt64 { get { self[24] } set { self[24] = newValue } }
    package var readFormat: UInt64 { get { self[32] } set { self[32] = newValue } }
    package var disabled: UInt64 { get { self[bits: 320, 1] } set { self[bits: 320, 1] = newValue } }
    package var inherit: UInt64 { get { self[bits: 321, 1] } set { self[bits: 321, 1] = newValue } }
    package var pinned: UInt64 { get { self[bits: 322, 1] } set { self[bits: 322, 1] = newValue } }
    package var exclusive: UInt64 { get { self[bits: 323, 1] } set { self[bits: 323, 1] = newValue } }
    package var excludeUser: UInt64 { get { self[bits: 324, 1] } set { self[bits: 324, 1] = newValue } }
    package var excludeKernel: UInt64 { get { self[bits: 325, 1] } set { self[bits: 325, 1] = newValue } }
    package var excludeHv: UInt64 { get { self[bits: 326, 1] } set { self[bits: 326, 1] = newValue } }
    package var excludeIdle: UInt64 { get { self[bits: 327, 1] } set { self[bits: 327, 1] = newValue } }
    package var mmap: UInt64 { get { self[bits: 328, 1] } set { self[bits: 328, 1] = newValue } }
    package var comm: UInt64 { get { self[bits: 329, 1] } set { self[bits: 329, 1] = newValue } }
    package var freq: UInt64 { get { self[bits: 330, 1] } set { self[bits: 330, 1] = newValue } }
    package var inheritStat: UInt64 { get { self[bits: 331, 1] } set { self[bits: 331, 1] = newValue } }
    package var enableOnExec: UInt64 { get { self[bits: 332, 1] } set { self[bits: 332, 1] = newValue } }
    package var task: UInt64 { get { self[bits: 333, 1] } set { self[bits: 333, 1] = newValue } }
    package var watermark: UInt64 { get { self[bits: 334, 1] } set { self[bits: 334, 1] = newValue } }
    package var preciseIp: UInt64 { get { self[bits: 335, 2] } set { self[bits: 335, 2] = newValue } }
    package var mmapData: UInt64 { get { self[bits: 337, 1] } set { self[bits: 337, 1] = newValue } }
    package var sampleIdAll: UInt64 { get { self[bits: 338, 1] } set { self[bits: 338, 1] = newValue } }
    package var excludeHost: UInt64 { get { self[bits: 339, 1] } set { self[bits: 339, 1] = newValue } }
    package var excludeGuest: UInt64 { get { self[bits: 340, 1] } set { self[bits: 340, 1] = newValue } }
    package var excludeCallchainKernel: UInt64 { get { self[bits: 341, 1] } set { self[bits: 341, 1] = newValue } }
    package var excludeCallchainUser: UInt64 { get { self[bits: 342, 1] } set { self[bits: 342, 1] = newValue } }
    package var mmap2: UInt64 { get { self[bits: 343, 1] } set { self[bits: 343, 1] = newValue } }
    package var commExec: UInt64 { get { self[bits: 344, 1] } set { self[bits: 344, 1] = newValue } }
    package var useClockid: UInt64 { get { self[bits: 345, 1] } set { self[bits: 345, 1] = newValue } }
    package var contextSwitch: UInt64 { get { self[bits: 346, 1] } set { self[bits: 346, 1] = newValue } }
    package var writeBackward: UInt64 { get { self[bits: 347, 1] } set { self[bits: 347, 1] = newValue } }
    package var namespaces: UInt64 { get { self[bits: 348, 1] } set { self[bits: 348, 1] = newValue } }
    package var ksymbol: UInt64 { get { self[bits: 349, 1] } set { self[bits: 349, 1] = newValue } }
    package var bpfEvent: UInt64 { get { self[bits: 350, 1] } set { self[bits: 350, 1] = newValue } }
    package var auxOutput: UInt64 { get { self[bits: 351, 1] } set { self[bits: 351, 1] = newValue } }
    package var cgroup: UInt64 { get { self[bits: 352, 1] } set { self[bits: 352, 1] = newValue } }
    package var textPoke: UInt64 { get { self[bits: 353, 1] } set { self[bits: 353, 1] = newValue } }
    package var buildId: UInt64 { get { self[bits: 354, 1] } set { self[bits: 354, 1] = newValue } }
    package var inheritThread: UInt64 { get { self[bits: 355, 1] } set { self[bits: 355, 1] = newValue } }
    package var removeOnExec: UInt64 { get { self[bits: 356, 1] } set { self[bits: 356, 1] = newValue } }
    package var sigtrap: UInt64 { get { self[bits: 357, 1] } set { self[bits: 357, 1] = newValue } }
    package var deferCallchain: UInt64 { get { self[bits: 358, 1] } set { self[bits: 358, 1] = newValue } }
    package var deferOutput: UInt64 { get { self[bits: 359, 1] } set { self[bits: 359, 1] = newValue } }
    package var wakeupEvents: UInt32 { get { self[48] } set { self[48] = newValue } }
    package var wakeupWatermark: UInt32 { get { self[48] } set { self[48] = newValue } }
    package var bpType: UInt32 { get { self[52] } set { self[52] = newValue } }
    package var bpAddr: UInt64 { get { self[56] } set { self[56] = newValue } }
    package var kprobeFunc: UInt64 { get { self[56] } set { self[56] = newValue } }
    package var uprobePath: UInt64 { get { self[56] } set { self[56] = newValue } }
    package var config1: UInt64 { get { self[56] } set { self[56] = newValue } }
    package var bpLen: UInt64 { get { self[64] } set { self[64] = newValue } }
    package var kprobeAddr: UInt64 { get { self[64] } set { self[64] = newValue } }
    package var probeOffset: UInt64 { get { self[64] } set { self[64] = newValue } }
    package var config2: UInt64 { get { self[64] } set { self[64] = newValue } }
    package var branchSampleType: UInt64 { get { self[72] } set { self[72] = newValue } }
    package var sampleRegsUser: UInt64 { get { self[80] } set { self[80] = newValue } }
    package var sampleStackUser: UInt32 { get { self[88] } set { self[88] = newValue } }
    package var clockid: Int32 { get { self[92] } set { self[92] = newValue } }
    package var sampleRegsIntr: UInt64 { get { self[96] } set { self[96] = newValue } }
    package var auxWatermark: UInt32 { get { self[104] } set { self[104] = newValue } }
    package var sampleMaxStack: UInt16 { get { self[108] } set { self[108] = newValue } }
    package var auxSampleSize: UInt32 { get { self[112] } set { self[112] = newValue } }
    package var auxAction: UInt32 { get { self[116] } set { self[116] = newValue } }
    package var auxStartPaused: UInt64 { get { self[bits: 928, 1] } set { self[bits: 928, 1] = newValue } }
    package var auxPause: UInt64 { get { self[bits: 929, 1] } set { self[bits: 929, 1] = newValue } }
    package var auxResume: UInt64 { get { self[bits: 930, 1] } set { self[bits: 930, 1] = newValue } }
    package var sigData: UInt64 { get { self[120] } set { self[120] = newValue } }
    package var config3: UInt64 { get { self[128] } set { self[128] = newValue } }
    package var config4: UInt64 { get { self[136] } set { self[136] = newValue } }
}

/// `struct perf_event_header`: what each record begins with. Where its members are.
package enum PerfEventHeader {
    package static let byteCount = 8
    package static let type = 0
    package static let misc = 4
    package static let size = 6
}

/// `struct perf_event_mmap_page`: the page before the records. Where its members are.
package enum PerfEventPage {
    package static let byteCount = 1088
    package static let version = 0
    package static let compatVersion = 4
    package static let lock = 8
    package static let index = 12
    package static let offset = 16
    package static let timeEnabled = 24
    package static let timeRunning = 32
    package static let capabilities = 40
    package static let pmcWidth = 48
    package static let timeShift = 50
    package static let timeMult = 52
    package static let timeOffset = 56
    package static let timeZero = 64
    package static let size = 72
    package static let timeCycles = 80
    package static let timeMask = 88
    package static let dataHead = 1024
    package static let dataTail = 1032
    package static let dataOffset = 1040
    package static let dataSize = 1048
    package static let auxHead = 1056
    package static let auxTail = 1064
    package static let auxOffset = 1072
    package static let auxSize = 1080
}

/// `enum bpf_cmd`
package enum BPFCommand: UInt32, KernelEnumeration {
    package static let prefix = "BPF_"
    case mapCreate = 0
    case mapLookupElem = 1
    case mapUpdateElem = 2
    case mapDeleteElem = 3
    case mapGetNextKey = 4
    case progLoad = 5
    case objPin = 6
    case objGet = 7
    case progAttach = 8
    case progDetach = 9
    case progTestRun = 10
    case progGetNextId = 11
    case mapGetNextId = 12
    case progGetFdById = 13
    case mapGetFdById = 14
    case objGetInfoByFd = 15
    case progQuery = 16
    case rawTracepointOpen = 17
    case btfLoad = 18
    case btfGetFdById = 19
    case taskFdQuery = 20
    case mapLookupAndDeleteElem = 21
    case mapFreeze = 22
    case btfGetNextId = 23
    case mapLookupBatch = 24
    case mapLookupAndDeleteBatch = 25
    case mapUpdateBatch = 26
    case mapDeleteBatch = 27
    case linkCreate = 28
    case linkUpdate = 29
    case linkGetFdById = 30
    case linkGetNextId = 31
    case enableStats = 32
    case iterCreate = 33
    case linkDetach = 34
    case progBindMap = 35
    case tokenCreate = 36
    case progStreamReadByFd = 37
    case progAssocStructOps = 38
    case commonAttrs = 65536
}

/// `enum bpf_prog_type`
package enum BPFProgramType: UInt32, KernelEnumeration {
    package static let prefix = "BPF_PROG_TYPE_"
    case unspec = 0
    case socketFilter = 1
    case kprobe = 2
    case schedCls = 3
    case schedAct = 4
    case tracepoint = 5
    case xdp = 6
    case perfEvent = 7
    case cgroupSkb = 8
    case cgroupSock = 9
    case lwtIn = 10
    case lwtOut = 11
    case lwtXmit = 12
    case sockOps = 13
    case skSkb = 14
    case cgroupDevice = 15
    case skMsg = 16
    case rawTracepoint = 17
    case cgroupSockAddr = 18
    case lwtSeg6local = 19
    case lircMode2 = 20
    case skReuseport = 21
    case flowDissector = 22
    case cgroupSysctl = 23
    case rawTracepointWritable = 24
    case cgroupSockopt = 25
    case tracing = 26
    case structOps = 27
    case ext = 28
    case lsm = 29
    case skLookup = 30
    case syscall = 31
    case netfilter = 32
}

/// `enum bpf_attach_type`
package enum BPFAttachType: UInt32, KernelEnumeration {
    package static let prefix = "BPF_"
    case cgroupInetIngress = 0
    case cgroupInetEgress = 1
    case cgroupInetSockCreate = 2
    case cgroupSockOps = 3
    case skSkbStreamParser = 4
    case skSkbStreamVerdict = 5
    case cgroupDevice = 6
    case skMsgVerdict = 7
    case cgroupInet4Bind = 8
    case cgroupInet6Bind = 9
    case cgroupInet4Connect = 10
    case cgroupInet6Connect = 11
    case cgroupInet4PostBind = 12
    case cgroupInet6PostBind = 13
    case cgroupUdp4Sendmsg = 14
    case cgroupUdp6Sendmsg = 15
    case lircMode2 = 16
    case flowDissector = 17
    case cgroupSysctl = 18
    case cgroupUdp4Recvmsg = 19
    case cgroupUdp6Recvmsg = 20
    case cgroupGetsockopt = 21
    case cgroupSetsockopt = 22
    case traceRawTp = 23
    case traceFentry = 24
    case traceFexit = 25
    case modifyReturn = 26
    case lsmMac = 27
    case traceIter = 28
    case cgroupInet4Getpeername = 29
    case cgroupInet6Getpeername = 30
    case cgroupInet4Getsockname = 31
    case cgroupInet6Getsockname = 32
    case xdpDevmap = 33
    case cgroupInetSockRelease = 34
    case xdpCpumap = 35
    case skLookup = 36
    case xdp = 37
    case skSkbVerdict = 38
    case skReuseportSelect = 39
    case skReuseportSelectOrMigrate = 40
    case perfEvent = 41
    case traceKprobeMulti = 42
    case lsmCgroup = 43
    case structOps = 44
    case netfilter = 45
    case tcxIngress = 46
    case tcxEgress = 47
    case traceUprobeMulti = 48
    case cgroupUnixConnect = 49
    case cgroupUnixSendmsg = 50
    case cgroupUnixRecvmsg = 51
    case cgroupUnixGetpeername = 52
    case cgroupUnixGetsockname = 53
    case netkitPrimary = 54
    case netkitPeer = 55
    case traceKprobeSession = 56
    case traceUprobeSession = 57
    case traceFsession = 58
    case traceFentryMulti = 59
    case traceFexitMulti = 60
    case traceFsessionMulti = 61
}

/// `enum bpf_link_type`
package enum BPFLinkType: UInt32, KernelEnumeration {
    package static let prefix = "BPF_LINK_TYPE_"
    case unspec = 0
    case rawTracepoint = 1
    case tracing = 2
    case cgroup = 3
    case iter = 4
    case netns = 5
    case xdp = 6
    case perfEvent = 7
    case kprobeMulti = 8
    case structOps = 9
    case netfilter = 10
    case tcx = 11
    case uprobeMulti = 12
    case netkit = 13
    case sockmap = 14
    case tracingMulti = 15
}

/// `enum perf_type_id`
package enum PerfType: UInt32, KernelEnumeration {
    package static let prefix = "PERF_TYPE_"
    case hardware = 0
    case software = 1
    case tracepoint = 2
    case hwCache = 3
    case raw = 4
    case breakpoint = 5
}

/// `enum perf_sw_ids`
package enum PerfSoftwareEvent: UInt32, KernelEnumeration {
    package static let prefix = "PERF_COUNT_SW_"
    case cpuClock = 0
    case taskClock = 1
    case pageFaults = 2
    case contextSwitches = 3
    case cpuMigrations = 4
    case pageFaultsMin = 5
    case pageFaultsMaj = 6
    case alignmentFaults = 7
    case emulationFaults = 8
    case dummy = 9
    case bpfOutput = 10
    case cgroupSwitches = 11
}

/// `enum perf_event_type`
package enum PerfRecordType: UInt32, KernelEnumeration {
    package static let prefix = "PERF_RECORD_"
    case mmap = 1
    case lost = 2
    case comm = 3
    case exit = 4
    case throttle = 5
    case unthrottle = 6
    case fork = 7
    case read = 8
    case sample = 9
    case mmap2 = 10
    case aux = 11
    case itraceStart = 12
    case lostSamples = 13
    case `switch` = 14
    case switchCpuWide = 15
    case namespaces = 16
    case ksymbol = 17
    case bpfEvent = 18
    case cgroup = 19
    case textPoke = 20
    case auxOutputHwId = 21
    case callchainDeferred = 22
}

/// Flags, by their names in C.
package enum LinuxFlag {
    /// `BPF_F_KPROBE_MULTI_RETURN`
    package static let bpfFKprobeMultiReturn: UInt32 = 1
    /// `BPF_F_UPROBE_MULTI_RETURN`
    package static let bpfFUprobeMultiReturn: UInt32 = 1
    /// `BPF_F_CPU`
    package static let bpfFCpu: UInt64 = 8
    /// `BPF_F_ALL_CPUS`
    package static let bpfFAllCpus: UInt64 = 16
    /// `BPF_F_RDONLY_PROG`
    package static let bpfFRdonlyProg: UInt32 = 128
    /// `BPF_RINGBUF_BUSY_BIT`
    package static let bpfRingbufBusyBit: UInt32 = 2147483648
    /// `BPF_RINGBUF_DISCARD_BIT`
    package static let bpfRingbufDiscardBit: UInt32 = 1073741824
    /// `BPF_RINGBUF_HDR_SZ`
    package static let bpfRingbufHdrSz: Int = 8
    /// `PERF_SAMPLE_RAW`
    package static let perfSampleRaw: UInt64 = 1024
}
