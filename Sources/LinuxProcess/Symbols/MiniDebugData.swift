import CLZMA
import ELF

/// The symbols that Fedora leaves in stripped files: a small ELF file, compressed with xz, in `.gnu_debugdata`.
enum MiniDebugData {
    static let sectionName = ".gnu_debugdata"

    struct Failure: Error, CustomStringConvertible {
        var description: String
    }

    /// Ten times what the largest programs have.
    private static let largest = 64 << 20
    /// What liblzma may take for its window: that of `xz -9`.
    private static let largestWindow: UInt64 = 128 << 20

    static func symbols(of file: ELFFile) throws(Failure) -> ELFFile {
        guard let section = file.section(named: sectionName) else { throw Failure(description: "it is not there") }
        do throws(ELFError) {
            let bytes = try decompressed(file.contents(of: section))
            return try ELFFile(bytes: bytes.get(), name: "\(file.name)(\(sectionName))")
        } catch {
            throw Failure(description: "\(error)")
        }
    }

    private static func decompressed(_ section: ByteSlice) -> Result<[UInt8], ELFError> {
        func damaged(_ what: String) -> Result<[UInt8], ELFError> { .failure(.malformed(name: "it", what: what)) }
        var stream = lzma_stream()
        guard lzma_stream_decoder(&stream, largestWindow, 0) == LZMA_OK else { return damaged("no memory to read it") }
        defer { lzma_end(&stream) }
        var result: [UInt8] = []
        var part = [UInt8](repeating: 0, count: 1 << 16)
        return section.withUnsafeBytes { input in
            stream.next_in = input.baseAddress?.assumingMemoryBound(to: UInt8.self)
            stream.avail_in = input.count
            while true {
                let (status, count) = part.withUnsafeMutableBufferPointer { output in
                    stream.next_out = output.baseAddress
                    stream.avail_out = output.count
                    let status = lzma_code(&stream, LZMA_FINISH)
                    return (status, output.count - stream.avail_out)
                }
                result += part[..<count]
                if status == LZMA_STREAM_END { return .success(result) }
                guard status == LZMA_OK else { return damaged("liblzma cannot read it (\(status.rawValue))") }
                guard result.count <= largest else { return damaged("more than \(largest >> 20) MiB come out of it") }
            }
        }
    }
}
