/// A structure to be made.
struct Structure {
    /// What it is called in Swift, and what it is for.
    let name: String
    let purpose: String
    /// The C type, and which of its members it is: one by name, or the one without a name that has a member of that name.
    let type: String
    let part: Part
    /// Whether there are only the places of its members, for memory that is read where it is.
    var isPlaces = false

    enum Part {
        case all
        case member(String)
        case having(String)
    }

    /// A command's part of `union bpf_attr`.
    static func command(_ name: String, _ part: Part, _ purpose: String) -> Structure {
        Structure(name: name, purpose: purpose, type: "bpf_attr", part: part)
    }

    static let wanted = [
        command("MapCreate", .having("map_type"), "`BPF_MAP_CREATE`"),
        command("MapElement", .having("key"), "`BPF_MAP_LOOKUP_ELEM` and all else that is done to elements, `BPF_MAP_FREEZE`"),
        command("ProgramLoad", .having("prog_type"), "`BPF_PROG_LOAD`"),
        command("ObjectPin", .having("pathname"), "`BPF_OBJ_PIN`, `BPF_OBJ_GET`"),
        command("ProgramTestRun", .member("test"), "`BPF_PROG_TEST_RUN`"),
        command("ObjectByID", .having("next_id"), "`BPF_PROG_GET_NEXT_ID`, `BPF_PROG_GET_FD_BY_ID` and those of maps, BTF and links"),
        command("ObjectGetInfo", .member("info"), "`BPF_OBJ_GET_INFO_BY_FD`"),
        command("RawTracepointOpen", .member("raw_tracepoint"), "`BPF_RAW_TRACEPOINT_OPEN`"),
        command("BTFLoad", .having("btf_log_buf"), "`BPF_BTF_LOAD`"),
        command("LinkCreate", .member("link_create"), "`BPF_LINK_CREATE`, with what is particular to each sort of link"),
        command("IteratorCreate", .member("iter_create"), "`BPF_ITER_CREATE`"),
        Structure(name: "CommonAttributes", purpose: "what any command takes with `BPF_COMMON_ATTRS`", type: "bpf_common_attr", part: .all),
        Structure(name: "IteratorLinkInfo", purpose: "what an iterator goes over", type: "bpf_iter_link_info", part: .all),
        Structure(name: "ProgramInfo", purpose: "a loaded program", type: "bpf_prog_info", part: .all),
        Structure(name: "ProgramFunctionInfo", purpose: "where a function of a program begins", type: "bpf_func_info", part: .all),
        Structure(name: "ProgramLineInfo", purpose: "where a source line of a program begins", type: "bpf_line_info", part: .all),
        Structure(name: "MapInfo", purpose: "a map", type: "bpf_map_info", part: .all),
        Structure(name: "LinkInfo", purpose: "a link", type: "bpf_link_info", part: .all),
        Structure(name: "BTFInfo", purpose: "loaded types", type: "bpf_btf_info", part: .all),
        Structure(name: "PerfEventAttributes", purpose: "perf_event_open(2)", type: "perf_event_attr", part: .all),
        Structure(name: "PerfEventHeader", purpose: "what each record begins with", type: "perf_event_header", part: .all, isPlaces: true),
        Structure(
            name: "PerfEventPage", purpose: "the page before the records", type: "perf_event_mmap_page", part: .all, isPlaces: true),
    ]
}

/// An enumeration to be made, without what its enumerators begin with in C.
struct Enumeration {
    let name: String
    let type: String
    let prefix: String

    static let wanted = [
        Enumeration(name: "BPFCommand", type: "bpf_cmd", prefix: "BPF_"),
        Enumeration(name: "BPFProgramType", type: "bpf_prog_type", prefix: "BPF_PROG_TYPE_"),
        Enumeration(name: "BPFAttachType", type: "bpf_attach_type", prefix: "BPF_"),
        Enumeration(name: "BPFLinkType", type: "bpf_link_type", prefix: "BPF_LINK_TYPE_"),
        Enumeration(name: "PerfType", type: "perf_type_id", prefix: "PERF_TYPE_"),
        Enumeration(name: "PerfSoftwareEvent", type: "perf_sw_ids", prefix: "PERF_COUNT_SW_"),
        Enumeration(name: "PerfRecordType", type: "perf_event_type", prefix: "PERF_RECORD_"),
    ]
}

/// Enumerators that are flags and the like, whose enumerations mostly have no names; the type of what they are used with.
enum Flag {
    static let wanted = [
        ("BPF_F_KPROBE_MULTI_RETURN", "UInt32"), ("BPF_F_UPROBE_MULTI_RETURN", "UInt32"), ("BPF_F_CPU", "UInt64"),
        ("BPF_F_ALL_CPUS", "UInt64"), ("BPF_F_RDONLY_PROG", "UInt32"), ("BPF_RINGBUF_BUSY_BIT", "UInt32"),
        ("BPF_RINGBUF_DISCARD_BIT", "UInt32"), ("BPF_RINGBUF_HDR_SZ", "Int"), ("PERF_SAMPLE_RAW", "UInt64"),
    ]
}
