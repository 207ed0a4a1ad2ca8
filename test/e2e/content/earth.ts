/** An Earth observation: a scene as a TIFF that is read in pieces, and the STAC item that describes it. */
import { closeSync, openSync, writeSync } from 'node:fs';

export interface Scene {
  /** Columns, and rows: the scene is a square. */
  readonly side: number;
  readonly rowsPerStrip: number;
}

/** What the pixel in a column and a row is, so that a reader can be told wrong from right. */
export const pixelAt = (column: number, row: number): number => (column * 7 + row * 13) % 251;

const [shortType, longType, doubleType] = [3, 4, 12];

interface Field {
  readonly tag: number;
  readonly type: number;
  readonly values: readonly number[];
}

const widths = new Map([
  [shortType, 2],
  [longType, 4],
  [doubleType, 8],
]);

function valuesOf({ type, values }: Field): Buffer {
  const width = widths.get(type) ?? 0;
  const bytes = Buffer.alloc(values.length * width);
  for (const [index, value] of values.entries()) {
    if (type === shortType) bytes.writeUInt16LE(value, index * width);
    else if (type === longType) bytes.writeUInt32LE(value, index * width);
    else bytes.writeDoubleLE(value, index * width);
  }
  return bytes;
}

/**
 * Writes an uncompressed grey GeoTIFF in strips (TIFF 6.0; OGC 19-008r4 for the three tags of its place on Earth: WGS 84,
 * a degree per thousand pixels, the upper left corner at 10° E 50° N).
 */
export function writeGeoTiff(file: string, { side, rowsPerStrip }: Scene): void {
  const strips = Math.ceil(side / rowsPerStrip);
  const rowsOf = (strip: number): number => Math.min(rowsPerStrip, side - strip * rowsPerStrip);
  const counts = Array.from({ length: strips }, (_, strip) => rowsOf(strip) * side);
  const fieldsAt = (start: number): readonly Field[] => [
    { tag: 256, type: longType, values: [side] },
    { tag: 257, type: longType, values: [side] },
    { tag: 258, type: shortType, values: [8] },
    { tag: 259, type: shortType, values: [1] }, // no compression
    { tag: 262, type: shortType, values: [1] }, // black is zero
    { tag: 273, type: longType, values: counts.map((_, strip) => start + strip * rowsPerStrip * side) },
    { tag: 277, type: shortType, values: [1] },
    { tag: 278, type: longType, values: [rowsPerStrip] },
    { tag: 279, type: longType, values: counts },
    { tag: 33_550, type: doubleType, values: [0.001, 0.001, 0] },
    { tag: 33_922, type: doubleType, values: [0, 0, 0, 10, 50, 0] },
    // Version 1.1.0 and three keys: a geographic model, pixels as areas, EPSG:4326.
    { tag: 34_735, type: shortType, values: [1, 1, 0, 3, 1024, 0, 1, 2, 1025, 0, 1, 1, 2048, 0, 1, 4326] },
  ];
  const headOf = (fields: readonly Field[]): Buffer => {
    const directory = Buffer.alloc(8 + 2 + fields.length * 12 + 4);
    directory.write('II');
    directory.writeUInt16LE(42, 2);
    directory.writeUInt32LE(8, 4);
    directory.writeUInt16LE(fields.length, 8);
    const beyond: Buffer[] = [];
    let at = directory.length;
    for (const [index, field] of fields.entries()) {
      const bytes = valuesOf(field);
      const entry = 10 + index * 12;
      directory.writeUInt16LE(field.tag, entry);
      directory.writeUInt16LE(field.type, entry + 2);
      directory.writeUInt32LE(field.values.length, entry + 4);
      if (bytes.length <= 4) bytes.copy(directory, entry + 8);
      else {
        directory.writeUInt32LE(at, entry + 8);
        beyond.push(bytes);
        at += bytes.length;
      }
    }
    return Buffer.concat([directory, ...beyond]);
  };
  const out = openSync(file, 'wx');
  try {
    // Where the pixels begin does not change the size of what says so.
    writeSync(out, headOf(fieldsAt(headOf(fieldsAt(0)).length)));
    const row = Buffer.alloc(side);
    for (let y = 0; y < side; y++) {
      for (let x = 0; x < side; x++) row[x] = pixelAt(x, y);
      writeSync(out, row);
    }
  } finally {
    closeSync(out);
  }
}

/** A STAC item, version 1.0.0, whose asset is the TIFF. */
export function stacItem({ side }: Scene, id: string, href: string): string {
  const [west, south, east, north] = [10, 50 - side / 1000, 10 + side / 1000, 50];
  const corners = [
    [west, south],
    [east, south],
    [east, north],
    [west, north],
    [west, south],
  ];
  return JSON.stringify({
    type: 'Feature',
    stac_version: '1.0.0',
    id,
    bbox: [west, south, east, north],
    geometry: { type: 'Polygon', coordinates: [corners] },
    properties: { datetime: '2001-01-01T00:00:00Z' },
    links: [],
    assets: { visual: { href, type: geoTiffType, roles: ['data'] } },
  });
}

export const geoTiffType = 'image/tiff; application=geotiff';
