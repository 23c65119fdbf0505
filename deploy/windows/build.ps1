# Builds the agent for Windows: a folder with its own Python, as a .zip. Run it from the root of the source tree, on
# Windows, with nuget in the PATH. It has not been run by us on Windows; docs/how-to/install-the-agent.md says what was.
#
#   pwsh deploy/windows/build.ps1 -Out dist
param([string]$Out = "dist", [string]$PythonVersion = "3.12.8")

Set-StrictMode -Version Latest
$ErrorActionPreference = "Stop"
$PSNativeCommandUseErrorActionPreference = $true

$build = Join-Path ([IO.Path]::GetTempPath()) ("quarkpulse-build-" + [Guid]::NewGuid())
$tree = Join-Path $build "quarkpulse-agent"
New-Item -ItemType Directory -Force $build, $Out | Out-Null

# Python's own package for nuget is the whole of it, signed, and runs from any folder.
nuget install python -Version $PythonVersion -OutputDirectory $build -ExcludeVersion -NonInteractive
Move-Item (Join-Path $build "python/tools") $tree
& "$tree/python.exe" -m pip install --quiet --no-compile --only-binary=:all: --no-binary=quarkpulse `
    --constraint constraints.txt ".[exporters,printers,windows]"

# The wheel holds both programs; pip's launchers know one folder only.
foreach ($name in "collector", "rules") { Remove-Item -Recurse -Force "$tree/Lib/site-packages/$name" }
foreach ($name in "Scripts", "Tools", "include", "libs", "Lib/test", "Lib/idlelib", "Lib/tkinter", "Lib/ensurepip") {
    Remove-Item -Recurse -Force "$tree/$name" -ErrorAction SilentlyContinue
}
Get-ChildItem "$tree/Lib/site-packages" -Directory -Filter "pip*" | Remove-Item -Recurse -Force
Set-Content -Encoding ascii "$tree/quarkpulse-agent.cmd" "@`"%~dp0python.exe`" -I -m agent %*"
& "$tree/python.exe" -I -m compileall -q -f --invalidation-mode unchecked-hash "$tree/Lib"

# No rights for whoever is not an administrator to change what the service runs: install it below Program Files.
$version = & "$tree/python.exe" -I -c "import agent; print(agent.VERSION)"
Compress-Archive -Force -Path $tree -DestinationPath (Join-Path $Out "quarkpulse-agent-$version-windows-amd64.zip")
Remove-Item -Recurse -Force $build
