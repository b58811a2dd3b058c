import Engine
import Glibc
import LinuxBPF

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
        let result = AttributeArena.with { arena in
            var attributes = LinkCreate(program) {
                guard let map else { return }
                let which = IteratorLinkInfo { $0.mapMapFd = map.descriptor.number }
                $0.iterInfo = arena.address(of: which.bytes)
                $0.iterInfoLen = UInt32(which.usedSize)
            }
            return attributes.open(.linkCreate)
        }
        let link: BPFDescriptor
        switch result {
        case .success(let made): link = made
        case .failure(let error): throw .refused(function: name, because: refusal(error, name, map))
        }
        var create = IteratorCreate { $0.linkFd = link.number }
        guard case .success(let text) = create.open(.iterCreate) else {
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
