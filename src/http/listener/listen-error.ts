/** Why a listener could not begin to listen. */

/** `inUse`: another process has the port · `denied`: not permitted · `badAddress`: not an address of this machine · `tls`: certificate or key · `other`. */
export type ListenErrorKind = 'inUse' | 'denied' | 'badAddress' | 'tls' | 'other';

export class ListenError extends Error {
  readonly kind: ListenErrorKind;

  constructor(kind: ListenErrorKind, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'ListenError';
    this.kind = kind;
  }
}

/** `name` is the configuration key. */
export function listenError(
  { name, host, port }: { readonly name: string; readonly host: string; readonly port: number },
  error: NodeJS.ErrnoException,
): ListenError {
  const place = `${name}: cannot listen on ${host.includes(':') ? `[${host}]` : host}:${port}`;
  switch (error.code ?? '') {
    case 'EADDRINUSE':
      return new ListenError('inUse', `${place}: the address is in use, maybe by another weir`, { cause: error });
    case 'EACCES':
    case 'EPERM':
      return new ListenError('denied', `${place}: not permitted (ports below 1024 need a privilege)`, { cause: error });
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
    case 'EAFNOSUPPORT':
      return new ListenError('badAddress', `${place}: this machine has no such address`, { cause: error });
    default:
      return new ListenError('other', `${place}: ${error.message}`, { cause: error });
  }
}
