"""What join.ps1 may call, with the parameters it may use, from Microsoft's reference.

https://learn.microsoft.com/powershell/module/ has a page for each, for 5.1 and 7: the firewall's are in
netsecurity, routes and MTU in nettcpip, DNS in dnsclient, adapters in netadapter, the rest in
microsoft.powershell.*.
"""

COMMON = {"ErrorAction"}

READS = {
    "ConvertFrom-Json": {"InputObject"},
    "ConvertTo-Json": {"InputObject", "Depth"},
    "Find-NetRoute": {"RemoteIPAddress"},
    "ForEach-Object": set(),
    "Get-CimInstance": {"ClassName", "Filter"},
    "Get-Command": {"Name"},
    "Get-Content": {"LiteralPath", "Raw"},
    "Get-Date": set(),
    "Get-DnsClientNrptRule": set(),
    "Get-DnsClientServerAddress": set(),
    "Get-NetAdapter": {"IncludeHidden"},
    "Get-NetFirewallInterfaceFilter": set(),
    "Get-NetFirewallProfile": {"PolicyStore"},
    "Get-NetFirewallRule": {"Name", "PolicyStore", "Direction", "Action", "Enabled"},
    "Get-NetIPInterface": {"InterfaceIndex", "AddressFamily"},
    "Join-Path": {"Path", "ChildPath"},
    "New-Object": {"TypeName", "ArgumentList"},
    "Out-Null": set(),
    "Resolve-DnsName": {"Name", "Type", "DnsOnly"},
    "Select-Object": {"First", "Unique", "Property", "ExpandProperty"},
    "Start-Sleep": {"Seconds"},
    "Test-Path": {"LiteralPath"},
    "Where-Object": set(),
    "Write-Host": set(),
    "curl.exe": set(),
    "ping.exe": set(),
}
# What changes something, and with which cmdlet that is undone.
CHANGES = {
    "Add-DnsClientNrptRule": ({"Namespace", "NameServers", "Comment"}, "Remove-DnsClientNrptRule"),
    "Disable-NetFirewallRule": ({"Name"}, "Enable-NetFirewallRule"),
    "New-Item": ({"Path", "ItemType", "Force"}, "Remove-Item"),
    "New-NetFirewallRule": (
        {
            *("Name", "DisplayName", "Group", "Direction", "Action", "Profile", "InterfaceAlias", "Program"),
            *("Protocol", "LocalPort", "RemotePort", "RemoteAddress", "IcmpType"),
        },
        "Remove-NetFirewallRule",
    ),
    "Set-NetFirewallProfile": ({"Name", "Enabled", "DefaultOutboundAction"}, "Set-NetFirewallProfile"),
    "Set-NetIPInterface": ({"InterfaceIndex", "AddressFamily", "NlMtuBytes"}, "Set-NetIPInterface"),
}
UNDOES = {
    "Enable-NetFirewallRule": {"Name"},
    "Remove-DnsClientNrptRule": {"Name", "Force"},
    "Remove-Item": {"LiteralPath", "Recurse", "Force"},
    "Remove-NetFirewallRule": {"Group"},
}
# What changes only the script itself, its book or a cache.
HARMLESS = {
    "Add-Member": {"InputObject", "MemberType", "NotePropertyName", "Name", "Value", "Force"},
    "Clear-DnsClientCache": set(),
    "Copy-Item": {"LiteralPath", "Destination", "Force"},
    "Move-Item": {"LiteralPath", "Destination", "Force"},
    "Remove-TypeData": {"TypeName"},
    "Set-Content": {"LiteralPath", "Encoding"},
}
PARAMETERS: dict[str, set[str]] = {
    **READS,
    **{name: parameters for name, (parameters, _) in CHANGES.items()},
    **UNDOES,
    **HARMLESS,
}
