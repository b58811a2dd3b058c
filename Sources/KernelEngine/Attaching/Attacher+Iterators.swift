import Engine
import Glibc

/// Iterators, which go over all things of a sort in the kernel, or over the elements of one map: "iter/task",
/// "iter/bpf_map_elem:MAP".
extension Attacher {
    /// The iterator's name, and the map of the object that is named behind it.
    func iterated(_ place: String) throws(EngineError) -> (String, KernelMap?) {
        guard let colon = place.firstIndex(of: ":") else { return (place, nil) }
        let wanted = String(place[place.index(after: colon)...])
        guard let map = loader.maps.first(where: { $0.name == wanted }) else {
            throw .request("program '\(program.name)': there is no map '\(wanted)' in its object to go over")
        }
        return (String(place[..<colon]), map)
    }

    /// Reads the whole text once.
    func iterator(_ program: KernelProgram, _ name: String, over map: KernelMap?) throws(EngineError) -> Attached {
        // union bpf_iter_link_info
        var which = map?.descriptor.number ?? 0
        let result = withUnsafeBytes(of: &which) { which -> Result<BPFDescriptor, Errno> in
            var attributes = BPFAttributes()
            attributes.set(0, program.descriptor.number)
            attributes.set(4, UInt32(0))
            attributes.set(8, kind.type.attachType)
            attributes.set(12, UInt32(0))
            if map != nil {
                attributes.set(16, which.baseAddress)
                attributes.set(24, UInt32(which.count))
            }
            return attributes.open(.linkCreate)
        }
        let link: BPFDescriptor
        switch result {
        case .success(let made): link = made
        case .failure(let error): throw .refused(function: name, because: refusal(error, name, map))
        }
        var create = BPFAttributes()
        create.set(0, link.number)
        create.set(4, UInt32(0))
        guard case .success(let text) = create.open(.iteratorCreate) else {
            throw .refused(function: name, because: "the kernel does not open it for reading")
        }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        while bytes.count < 64 << 20 {
            let count = buffer.withUnsafeMutableBytes { read(text.number, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR || errno == EAGAIN { continue }
            guard count > 0 else { break }
            bytes += buffer[..<count]
        }
        var attached = attached(AttachedProgram(link: link, program: program.descriptor), info(name, "iter"))
        attached.text = String(decoding: bytes, as: UTF8.self)
        return attached
    }

    private func refusal(_ error: Errno, _ name: String, _ map: KernelMap?) -> String {
        switch (error.number, map) {
        case (EINVAL, nil), (EBADF, nil):
            "this iterator goes over the elements of one map: name a map of the object behind it, as in 'iter/\(name):MAP'; those over "
                + "a cgroup cannot be run, those over the whole kernel (task, bpf_map, tcp) can"
        case (EINVAL, let map?), (EACCES, let map?):
            "the kernel does not let this program go over '\(map.name)': the map is of another sort, or the program reads more "
                + "than its keys and values hold"
        default: KernelAdvice.text(error)
        }
    }
}
