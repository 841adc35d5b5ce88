//! Pages of a column, unpacked.

use std::fs::File;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use flate2::read::MultiGzDecoder;
use parquet::basic::{Compression, CompressionCodec};
use parquet::column::page::{Page, PageMetadata, PageReader};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::serialized_reader::SerializedPageReader;
use ruzstd::decoding::StreamingDecoder;

use super::reasons;

/// Pages of a column in a row group.
///
/// Zstandard, Brotli and gzip pages are unpacked here: the Parquet crate's Zstandard is C, its
/// Brotli includes an encoder, and its gzip has no limit. The crate unpacks Snappy and LZ4 itself,
/// since these state their length beforehand.
pub(super) struct Pages {
    pages: SerializedPageReader<File>,
    codec: CompressionCodec,
    /// Bytes that the decoders may still produce,
    bytes_left: u64,
    /// and values, so that a page cannot hold more than its row group says.
    values_left: i64,
    /// The number of the first value after the last page.
    page_end: Arc<AtomicUsize>,
}

impl Pages {
    pub(super) fn new(
        file: File,
        chunk: &ColumnChunkMetaData,
        rows: usize,
        page_end: Arc<AtomicUsize>,
    ) -> std::result::Result<Self, String> {
        if chunk.compression_codec() == CompressionCodec::LZO {
            return Err("its pages are compressed with LZO, which is not read".into());
        }
        let opened = Self::over(file, chunk, rows, page_end);
        opened.map_err(|error| reasons::of_pages(&error))
    }

    fn over(
        file: File,
        chunk: &ColumnChunkMetaData,
        rows: usize,
        page_end: Arc<AtomicUsize>,
    ) -> Result<Self> {
        let codec = chunk.compression_codec();
        let bytes_left = u64::try_from(chunk.uncompressed_size()).unwrap_or(0);
        let values_left = chunk.num_values();
        let as_it_is = match codec {
            CompressionCodec::ZSTD | CompressionCodec::BROTLI | CompressionCodec::GZIP => {
                let plain = chunk.clone().into_builder().set_compression(Compression::UNCOMPRESSED);
                &plain.build()?
            }
            _ => chunk,
        };
        let pages = SerializedPageReader::new(Arc::new(file), as_it_is, rows, None)?;
        Ok(Self { pages, codec, bytes_left, values_left, page_end })
    }

    /// The rows of the next page, known before it is read, so that a damaged page can be left out.
    fn note_end(&mut self) -> Result<()> {
        if let Some(page) = self.pages.peek_next_page()? {
            self.page_end.fetch_add(page.num_levels.unwrap_or(0), Ordering::Relaxed);
        }
        Ok(())
    }

    fn unpack(&mut self, packed: &[u8]) -> std::result::Result<Vec<u8>, String> {
        let limit = self.bytes_left;
        let mut bytes = Vec::new();
        let (read, name) = match self.codec {
            CompressionCodec::ZSTD => {
                let frame = StreamingDecoder::new(packed);
                let read = frame.map_err(|e| std::io::Error::other(e.to_string()));
                (read.and_then(|d| d.take(limit + 1).read_to_end(&mut bytes)), "Zstandard")
            }
            CompressionCodec::BROTLI => {
                let decoder = brotli_decompressor::Decompressor::new(packed, 4096);
                (decoder.take(limit + 1).read_to_end(&mut bytes), "Brotli")
            }
            _ => {
                let decoder = MultiGzDecoder::new(packed);
                (decoder.take(limit + 1).read_to_end(&mut bytes), "gzip")
            }
        };
        read.map_err(|_| format!("a page is not valid {name}"))?;
        self.bytes_left = limit
            .checked_sub(bytes.len() as u64)
            .ok_or("a page is larger than its row group says")?;
        Ok(bytes)
    }

    fn unpacked(&mut self, mut page: Page) -> std::result::Result<Page, String> {
        if page.is_data_page() {
            self.values_left -= i64::from(page.num_values());
            if self.values_left < 0 {
                return Err("its pages hold more values than its row group says".into());
            }
        }
        if !matches!(
            self.codec,
            CompressionCodec::ZSTD | CompressionCodec::BROTLI | CompressionCodec::GZIP
        ) {
            return Ok(page);
        }
        match &mut page {
            Page::DataPage { buf, .. } | Page::DictionaryPage { buf, .. } => {
                *buf = self.unpack(buf)?.into();
            }
            // Its levels come first and are not packed.
            Page::DataPageV2 {
                buf,
                def_levels_byte_len,
                rep_levels_byte_len,
                is_compressed: is_compressed @ true,
                ..
            } => {
                let levels = *def_levels_byte_len as usize + *rep_levels_byte_len as usize;
                let packed = buf.get(levels..).ok_or("a page is cut off")?;
                let mut bytes = buf[..levels].to_vec();
                if !packed.is_empty() {
                    bytes.extend(self.unpack(packed)?);
                }
                *buf = bytes.into();
                *is_compressed = false;
            }
            Page::DataPageV2 { .. } => {}
        }
        Ok(page)
    }
}

impl Iterator for Pages {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

impl PageReader for Pages {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        self.note_end()?;
        let Some(page) = self.pages.get_next_page()? else { return Ok(None) };
        self.unpacked(page).map(Some).map_err(ParquetError::General)
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        self.pages.peek_next_page()
    }

    fn skip_next_page(&mut self) -> Result<()> {
        self.note_end()?;
        self.pages.skip_next_page()
    }
}
