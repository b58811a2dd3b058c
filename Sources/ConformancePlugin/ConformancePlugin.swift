@main struct ConformancePlugin { static func main() {} }
