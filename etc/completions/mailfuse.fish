# Completion of mailfuse(1) for fish. The command itself knows what may follow.

function __mailfuse_complete
    set -l words (commandline -opc)
    set -e words[1]
    set -l current (commandline -ct)
    set -l lines (command mailfuse complete $words "$current" 2>/dev/null)
    set -l before (string match -r -- '^--[^=]*=' "$current")
    switch "$lines[1]"
        case :files
            for path in (__fish_complete_path (string replace -- "$before" '' "$current"))
                echo "$before$path"
            end
        case :dirs
            for path in (__fish_complete_directories (string replace -- "$before" '' "$current"))
                echo "$before$path"
            end
        case '*'
            test -n "$lines[1]"; and printf '%s\n' $lines
    end
end

complete -c mailfuse -f -a '(__mailfuse_complete)'
